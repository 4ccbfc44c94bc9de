// Dot products of few rows with many keys, against long double.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "kernels/dot_kernel.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

template <class T>
void scores_are_dot_products() {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  for (std::ptrdiff_t rows = 1; rows <= 9; ++rows) {
    for (const std::ptrdiff_t keys : {0, 1, 2, 3, 4, 5, 7, 13, 37}) {
      for (const std::ptrdiff_t depth :
           {std::ptrdiff_t{0}, width, width + 1, 2 * width, 3 * width - 1, 7 * width}) {
        const std::ptrdiff_t key_stride = depth + 3, score_stride = keys + 2;
        RandomNumbers random(13);
        const auto random_values = [&](std::ptrdiff_t count) {
          std::vector<T> values(static_cast<std::size_t>(count));
          for (T& value : values) value = static_cast<T>(random.between(-1, 1));
          return values;
        };
        const std::vector<T> queries = random_values(rows * depth);
        const std::vector<T> key_rows = random_values(keys * key_stride);
        std::vector<T> scores(static_cast<std::size_t>(rows * score_stride), T(-77));
        // padded with rows of zeros to the number that is computed together
        const RowVectors<T> vectors(depth);
        std::vector<T> spread(static_cast<std::size_t>((rows + 3) * vectors.count * width), T{0});
        for (std::ptrdiff_t row = 0; row < rows; ++row) {
          T* const to = spread.data() + row * vectors.count * width;
          vectors.spread(queries.data() + row * depth, T{1}, to);
          for (std::ptrdiff_t i = 0; i < vectors.repeated(); ++i) {
            to[(vectors.count - 1) * width + i] = 0;
          }
        }
        const LinePrefetch nowhere{reinterpret_cast<const char*>(key_rows.data()), 0};
        dot_rows(DotQueries<T>{spread.data(), rows, vectors}, Rows<T>{key_rows.data(), key_stride},
                 keys, nowhere, scores.data(), score_stride);
        bool right = true;
        for (std::ptrdiff_t row = 0; row < rows; ++row) {
          for (std::ptrdiff_t key = 0; key < score_stride; ++key) {
            const T score = scores[static_cast<std::size_t>(row * score_stride + key)];
            if (key >= keys) {
              right &= score == T(-77);
              continue;
            }
            long double sum = 0;
            for (std::ptrdiff_t d = 0; d < depth; ++d) {
              sum += static_cast<long double>(queries[static_cast<std::size_t>(row * depth + d)]) *
                     key_rows[static_cast<std::size_t>(key * key_stride + d)];
            }
            right &= std::abs(score - sum) <=
                     static_cast<long double>(depth) * std::numeric_limits<T>::epsilon();
          }
        }
        check(right, "scores[row][key] = queries[row] · keys[key], and nothing else is written");
      }
    }
  }
}

// The order of a sum does not depend on how many rows are computed together.
template <class T>
void a_row_has_the_same_bits_among_others() {
  constexpr std::ptrdiff_t width = simd::lanes<T>, keys = 21, depth = 3 * width + 1;
  const RowVectors<T> vectors(depth);
  const std::ptrdiff_t row_size = vectors.count * width;
  RandomNumbers random(17);
  std::vector<T> key_rows(static_cast<std::size_t>(keys * depth));
  for (T& value : key_rows) value = static_cast<T>(random.between(-1, 1));
  std::vector<T> query(static_cast<std::size_t>(row_size));
  for (T& value : query) value = static_cast<T>(random.between(-1, 1));
  for (std::ptrdiff_t i = 0; i < vectors.repeated(); ++i) {
    query[static_cast<std::size_t>(row_size - width + i)] = 0;
  }
  std::vector<T> alone;
  for (std::ptrdiff_t rows = 1; rows <= 9; ++rows) {
    std::vector<T> spread(static_cast<std::size_t>((rows + 3) * row_size), T{0});
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      std::copy(query.begin(), query.end(), spread.begin() + row * row_size);
    }
    std::vector<T> scores(static_cast<std::size_t>(rows * keys));
    dot_rows(DotQueries<T>{spread.data(), rows, vectors}, Rows<T>{key_rows.data(), depth}, keys,
             LinePrefetch{reinterpret_cast<const char*>(key_rows.data()), 0}, scores.data(), keys);
    if (rows == 1) alone = scores;
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      check(std::equal(alone.begin(), alone.end(), scores.begin() + row * keys),
            "a row scores alone as it does among others");
    }
  }
}

// The vector that ends with the row repeats some lanes: an infinite element there counts once.
void an_infinite_element_is_counted_once() {
  constexpr std::ptrdiff_t width = simd::lanes<float>, depth = width + 1;
  const RowVectors<float> vectors(depth);
  for (std::ptrdiff_t place = 0; place < depth; ++place) {
    std::vector<float> key(depth, 0.5f);
    key[static_cast<std::size_t>(place)] = std::numeric_limits<float>::infinity();
    std::vector<float> query(depth, -1.0f), spread(static_cast<std::size_t>(2 * width));
    vectors.spread(query.data(), 1.0f, spread.data());
    for (std::ptrdiff_t i = 0; i < vectors.repeated(); ++i) {
      spread[static_cast<std::size_t>(width + i)] = 0;
    }
    float score = 0;
    dot_rows(DotQueries<float>{spread.data(), 1, vectors}, Rows<float>{key.data(), depth}, 1,
             LinePrefetch{reinterpret_cast<const char*>(key.data()), 0}, &score, 1);
    check(score == -std::numeric_limits<float>::infinity(), "-1 · ∞ among finite elements is -∞");
  }
}

// What floats in [−1, 1] are stored as.
template <class Stored>
void narrow_row(const float* from, Stored* to, std::ptrdiff_t count) {
  if constexpr (sizeof(Stored) == 1) {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      to[i].value = static_cast<std::int8_t>(127 * from[i]);
    }
  } else {
    simd::convert_row(from, to, count);
  }
}

// Keys of 16 or 8 bits have the same result, bit for bit, as the same keys in float32.
template <class Stored>
void stored_keys_are_widened() {
  constexpr std::ptrdiff_t width = simd::lanes<float>, keys = 21;
  for (std::ptrdiff_t rows = 1; rows <= 5; ++rows) {
    for (const std::ptrdiff_t depth : {width, 2 * width + 3}) {
      const std::ptrdiff_t stride = depth + 3;
      RandomNumbers random(31);
      std::vector<Stored> stored(static_cast<std::size_t>(keys * stride));
      std::vector<float> wide(stored.size());
      for (float& value : wide) value = static_cast<float>(random.between(-1, 1));
      narrow_row(wide.data(), stored.data(), keys * stride);
      simd::convert_row(stored.data(), wide.data(), keys * stride);
      const RowVectors<float> vectors(depth);
      std::vector<float> queries(static_cast<std::size_t>((rows + 3) * vectors.count * width));
      for (float& value : queries) value = static_cast<float>(random.between(-1, 1));
      const DotQueries<float> spread{queries.data(), rows, vectors};
      const LinePrefetch nowhere{reinterpret_cast<const char*>(wide.data()), 0};
      std::vector<float> scores(static_cast<std::size_t>(rows * keys)), expected(scores.size());
      dot_rows(spread, Rows<Stored>{stored.data(), stride}, keys, nowhere, scores.data(), keys);
      dot_rows(spread, Rows<float>{wide.data(), stride}, keys, nowhere, expected.data(), keys);
      check(scores == expected, "stored keys score as those in float32");
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::scores_are_dot_products<float>();
  heedful::scores_are_dot_products<double>();
  heedful::a_row_has_the_same_bits_among_others<float>();
  heedful::a_row_has_the_same_bits_among_others<double>();
  heedful::an_infinite_element_is_counted_once();
  heedful::stored_keys_are_widened<heedful::simd::Float16>();
  heedful::stored_keys_are_widened<heedful::simd::Bfloat16>();
  heedful::stored_keys_are_widened<heedful::simd::Int8>();
  return heedful::summary();
}
