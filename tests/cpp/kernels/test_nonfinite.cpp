// Guarded products: the micro-kernel's bits where everything is finite, and no effect of hidden
// keys where they are not; and every element that is not finite is found.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "check.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/nonfinite.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t keys = 23;

// Scores, their weights (0 where hidden), rows, and the previous sums.
template <class T>
struct Tile {
  int lanes;
  std::ptrdiff_t count;    // lanes that are not padding
  std::ptrdiff_t columns;  // full vectors
  std::vector<T> scores, weights, key_rows, lane_rows, by_column, by_key;

  explicit Tile(int vectors)
      : lanes(vectors * simd::lanes<T>), count(lanes - 1), columns(2 * simd::lanes<T>) {
    RandomNumbers random(14);
    const auto random_values = [&](std::ptrdiff_t size) {
      std::vector<T> values(static_cast<std::size_t>(size));
      for (T& value : values) value = static_cast<T>(random.between(-1, 1));
      return values;
    };
    scores = random_values(keys * lanes);
    weights = random_values(keys * lanes);
    for (std::size_t i = 0; i < scores.size(); ++i) {
      if (random.bits() % 3 != 0) continue;
      scores[i] = -std::numeric_limits<T>::infinity();
      weights[i] = 0;
    }
    for (int lane = 0; lane < lanes; ++lane) {  // key 4 is hidden from all
      scores[static_cast<std::size_t>(4 * lanes + lane)] = -std::numeric_limits<T>::infinity();
      weights[static_cast<std::size_t>(4 * lanes + lane)] = 0;
    }
    key_rows = random_values(keys * columns);
    lane_rows = random_values(lanes * columns);
    by_column = random_values(columns * lanes);
    by_key = random_values(keys * columns);
  }

  bool hidden(std::ptrdiff_t key, std::ptrdiff_t lane) const {
    return scores[static_cast<std::size_t>(key * lanes + lane)] ==
           -std::numeric_limits<T>::infinity();
  }
};

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class T>
void finite_products_have_the_bits_of_the_micro_kernel() {
  for (int vectors = 1; vectors <= max_vectors; ++vectors) {
    for (const bool accumulate : {true, false}) {
      Tile<T> tile(vectors);
      std::vector<T> expected = tile.by_column;
      multiply(Product<T>{tile.columns, keys, vectors, tile.key_rows.data(), 1, tile.columns,
                          tile.weights.data(), tile.lanes, expected.data(), tile.lanes,
                          accumulate});
      guarded_columns(tile.scores.data(), tile.weights.data(),
                      Rows<T>{tile.key_rows.data(), tile.columns}, keys, tile.lanes, tile.columns,
                      tile.by_column.data(), accumulate);
      check(same_bits(tile.by_column, expected), "sum[column][lane]: the same bits");
    }
    Tile<T> tile(vectors);
    std::vector<T> expected = tile.by_key;
    multiply(Product<T>{keys, tile.count, 2, tile.weights.data(), tile.lanes, 1,
                        tile.lane_rows.data(), tile.columns, expected.data(), tile.columns, true});
    guarded_rows(tile.scores.data(), tile.weights.data(),
                 Rows<T>{tile.lane_rows.data(), tile.columns}, keys, tile.lanes, tile.count,
                 tile.columns, tile.by_key.data(), tile.columns);
    check(same_bits(tile.by_key, expected), "sum[key][column]: the same bits");
  }
}

template <class T>
void hidden_keys_have_no_effect() {
  for (const T odd : {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()}) {
    Tile<T> clean(2), dirty(2);
    for (std::ptrdiff_t column = 0; column < clean.columns; ++column) {
      dirty.key_rows[static_cast<std::size_t>(4 * clean.columns + column)] =
          odd;  // a key hidden from all
    }
    for (Tile<T>* const tile : {&clean, &dirty}) {
      guarded_columns(tile->scores.data(), tile->weights.data(),
                      Rows<T>{tile->key_rows.data(), tile->columns}, keys, tile->lanes,
                      tile->columns, tile->by_column.data(), true);
    }
    check(same_bits(clean.by_column, dirty.by_column), "a hidden key may have any values");
  }
}

template <class T>
void a_nan_reaches_exactly_the_lanes_and_keys_that_see_it() {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  Tile<T> tile(2);
  tile.key_rows[static_cast<std::size_t>(7 * tile.columns + 3)] = nan;
  guarded_columns(tile.scores.data(), tile.weights.data(),
                  Rows<T>{tile.key_rows.data(), tile.columns}, keys, tile.lanes, tile.columns,
                  tile.by_column.data(), true);
  bool right = true;
  for (std::ptrdiff_t column = 0; column < tile.columns; ++column) {
    for (std::ptrdiff_t lane = 0; lane < tile.lanes; ++lane) {
      const bool reached = column == 3 && !tile.hidden(7, lane);
      right &= std::isnan(tile.by_column[static_cast<std::size_t>(column * tile.lanes + lane)]) ==
               reached;
    }
  }
  check(right, "a NaN of a key reaches the lanes that see it, in its column");

  tile.lane_rows[static_cast<std::size_t>(2 * tile.columns + 5)] = nan;
  // the lanes past the last row are not read
  for (std::ptrdiff_t i = tile.count * tile.columns; i < tile.lanes * tile.columns; ++i) {
    tile.lane_rows[static_cast<std::size_t>(i)] = nan;
  }
  guarded_rows(tile.scores.data(), tile.weights.data(),
               Rows<T>{tile.lane_rows.data(), tile.columns}, keys, tile.lanes, tile.count,
               tile.columns, tile.by_key.data(), tile.columns);
  right = true;
  for (std::ptrdiff_t key = 0; key < keys; ++key) {
    for (std::ptrdiff_t column = 0; column < tile.columns; ++column) {
      const bool reached = column == 5 && !tile.hidden(key, 2);
      right &=
          std::isnan(tile.by_key[static_cast<std::size_t>(key * tile.columns + column)]) == reached;
    }
  }
  check(right, "a NaN of a lane reaches the keys that it sees, in its column");
}

template <class T>
void nonfinite_elements_are_found_at_every_position() {
  constexpr T infinity = std::numeric_limits<T>::infinity();
  constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  for (const std::ptrdiff_t columns : {1, 5, 15, 16, 17, 35}) {
    constexpr std::ptrdiff_t rows = 3;
    const std::ptrdiff_t stride = columns + 2;
    std::vector<T> memory(static_cast<std::size_t>(rows * stride),
                          nan);  // gaps between rows are not read
    RandomNumbers random(11);
    for (std::ptrdiff_t i = 0; i < rows * stride; ++i) {
      if (i % stride >= columns) continue;
      memory[static_cast<std::size_t>(i)] =
          static_cast<T>(random.between(-1, 1)) * std::numeric_limits<T>::max();
    }
    check(all_finite(Rows<T>{memory.data(), stride}, rows, columns), "large numbers are finite");
    bool found = true;
    for (std::ptrdiff_t i = 0; i < rows * stride; ++i) {
      if (i % stride >= columns) continue;
      for (const T odd : {nan, infinity, -infinity}) {
        T& element = memory[static_cast<std::size_t>(i)];
        const T kept = element;
        element = odd;
        found &= !all_finite(Rows<T>{memory.data(), stride}, rows, columns);
        element = kept;
      }
    }
    check(found, "NaN, ∞ and −∞ are found at every position");
    check(all_finite(Rows<T>{memory.data(), stride}, 0, columns), "zero rows are finite");
    check(all_finite(Rows<T>{memory.data(), stride}, rows, 0), "rows without columns are finite");
  }
}

void nonfinite_halves_of_words_are_found() {
  std::vector<std::uint32_t> words(71, 0x7F7FFF7Fu);  // the largest numbers, of either sign
  const auto count = static_cast<std::ptrdiff_t>(words.size());
  check(all_finite(words.data(), count), "the largest numbers are finite");
  bool found = true;
  for (const std::uint32_t odd : {0x7F80u, 0xFF80u, 0x7FC0u, 0x7F81u}) {
    for (std::size_t i = 0; i < words.size(); ++i) {
      for (const std::uint32_t word : {odd | 0x3F800000u, odd << 16 | 0x3F80u}) {
        words[i] = word;
        found &= !all_finite(words.data(), count);
      }
      words[i] = 0;
    }
  }
  check(found, "NaN and ∞ are found in either half of any word");
}

template <class T>
void everything() {
  finite_products_have_the_bits_of_the_micro_kernel<T>();
  hidden_keys_have_no_effect<T>();
  a_nan_reaches_exactly_the_lanes_and_keys_that_see_it<T>();
  nonfinite_elements_are_found_at_every_position<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  heedful::nonfinite_halves_of_words_are_found();
  return heedful::summary();
}
