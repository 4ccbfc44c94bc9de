// The innermost product, in every block size, against long double.
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "check.hpp"
#include "kernels/micro_kernel.hpp"
#include "random_numbers.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

enum class Ending { store, accumulate, maximum, row_factors };

struct Sizes {
  std::ptrdiff_t rows, depth;
  int vectors;
  bool contiguous_rows;  // a_row is 1, as where A is read transposed
  Ending ending;
  int missing = 0;      // padding columns in the last vector
  bool panels = false;  // rows of B and C side by side
};

// A product on memory of exactly its size, with NaN wherever there are gaps between the rows.
template <class T>
struct Example {
  Sizes sizes;
  std::ptrdiff_t width;  // elements of a row of B and C
  std::ptrdiff_t a_row, a_step, b_step, c_row;
  std::vector<T> a, b, c, before, maximum, row_factors;

  explicit Example(const Sizes& given, std::uint64_t seed) : sizes(given) {
    const T gap = std::numeric_limits<T>::quiet_NaN();
    width = sizes.vectors * simd::lanes<T> - sizes.missing;
    a_row = sizes.contiguous_rows ? 1 : sizes.depth + 3;
    a_step = sizes.contiguous_rows ? sizes.rows + 2 : 1;
    b_step = sizes.panels ? width : width + 5;
    c_row = sizes.panels ? width : width + 1;
    a.assign(extent((sizes.rows - 1) * a_row + (sizes.depth - 1) * a_step), gap);
    b.assign(extent((sizes.depth - 1) * b_step + width - 1), gap);
    c.assign(static_cast<std::size_t>((sizes.rows - 1) * c_row + width), gap);
    RandomNumbers random(seed);
    const auto random_element = [&] { return static_cast<T>(random.between(-1, 1)); };
    for (std::ptrdiff_t k = 0; k < sizes.depth; ++k) {
      for (std::ptrdiff_t row = 0; row < sizes.rows; ++row) {
        at(a, row * a_row + k * a_step) = random_element();
      }
      for (std::ptrdiff_t lane = 0; lane < width; ++lane)
        at(b, k * b_step + lane) = random_element();
    }
    for (std::ptrdiff_t row = 0; row < sizes.rows; ++row) {
      for (std::ptrdiff_t lane = 0; lane < width; ++lane)
        at(c, row * c_row + lane) = random_element();
    }
    before = c;
    for (std::ptrdiff_t row = 0; row < sizes.rows; ++row) row_factors.push_back(random_element());
    // lanes that start below everything, in between, and above everything
    const T starts[] = {-std::numeric_limits<T>::infinity(), T(0.1), T(1000)};
    for (std::ptrdiff_t lane = 0; lane < width; ++lane) maximum.push_back(starts[lane % 3]);
  }

  std::size_t extent(std::ptrdiff_t last) const {
    return sizes.depth == 0 ? 0 : static_cast<std::size_t>(last + 1);
  }
  static T& at(std::vector<T>& values, std::ptrdiff_t i) {
    return values[static_cast<std::size_t>(i)];
  }
  static T at(const std::vector<T>& values, std::ptrdiff_t i) {
    return values[static_cast<std::size_t>(i)];
  }

  Product<T> product() {
    return {sizes.rows,
            sizes.depth,
            sizes.vectors,
            a.data(),
            a_row,
            a_step,
            b.data(),
            b_step,
            c.data(),
            c_row,
            sizes.ending == Ending::accumulate,
            sizes.ending == Ending::maximum ? maximum.data() : nullptr,
            sizes.ending == Ending::row_factors ? row_factors.data() : nullptr};
  }
  void run() { multiply(product()); }
  void run_wide() { multiply_wide(product(), width); }

  bool product_is_right() const {
    for (std::ptrdiff_t row = 0; row < sizes.rows; ++row) {
      for (std::ptrdiff_t lane = 0; lane < width; ++lane) {
        long double sum = 0, magnitude = 1;
        for (std::ptrdiff_t k = 0; k < sizes.depth; ++k) {
          const long double term =
              static_cast<long double>(at(a, row * a_row + k * a_step)) * at(b, k * b_step + lane);
          sum += term;
          magnitude += std::abs(term);
        }
        if (sizes.ending == Ending::row_factors) sum *= at(row_factors, row);
        if (sizes.ending == Ending::accumulate) sum += at(before, row * c_row + lane);
        const long double error = std::abs(at(c, row * c_row + lane) - sum);
        const long double allowed = static_cast<long double>(sizes.depth + 1) *
                                    std::numeric_limits<T>::epsilon() * magnitude;
        if (!(error <= allowed)) return false;
      }
    }
    return true;
  }

  bool maximum_is_right() const {
    const T starts[] = {-std::numeric_limits<T>::infinity(), T(0.1), T(1000)};
    for (std::ptrdiff_t lane = 0; lane < width; ++lane) {
      T expected = starts[lane % 3];
      for (std::ptrdiff_t row = 0; row < sizes.rows && sizes.ending == Ending::maximum; ++row) {
        expected = std::fmax(expected, at(c, row * c_row + lane));
      }
      if (at(maximum, lane) != expected) return false;
    }
    return true;
  }

  bool gaps_are_untouched() const {
    for (std::size_t i = 0; i < c.size(); ++i) {
      if (static_cast<std::ptrdiff_t>(i) % c_row >= width && !std::isnan(c[i])) return false;
    }
    return true;
  }
};

template <class T>
void every_block_is_right() {
  const std::ptrdiff_t depths[] = {0, 1, 3, 64, 129, 2 * max_sum + 1};
  for (std::ptrdiff_t rows = 1; rows <= 17; ++rows) {
    for (int vectors = 1; vectors <= max_block_vectors; ++vectors) {
      for (const std::ptrdiff_t depth : depths) {
        for (const bool contiguous_rows : {false, true}) {
          for (const bool panels : {false, true}) {
            for (const Ending ending :
                 {Ending::store, Ending::accumulate, Ending::maximum, Ending::row_factors}) {
              Example<T> example({rows, depth, vectors, contiguous_rows, ending, 0, panels},
                                 static_cast<std::uint64_t>(rows));
              example.run();
              const bool right =
                  check(example.product_is_right(), "C = A B, or C + A B, within rounding") &&
                  check(example.maximum_is_right(), "the maximum is that of the stored elements") &&
                  check(example.gaps_are_untouched(), "nothing outside C is written");
              if (!right) {
                std::printf("at %td rows, %d vectors, depth %td, %s, ending %d\n", rows, vectors,
                            depth, contiguous_rows ? "contiguous rows" : "contiguous columns",
                            static_cast<int>(ending));
              }
            }
          }
        }
      }
    }
  }
}

template <class T>
void wide_products_are_right() {
  for (int vectors = 0; vectors <= 9; ++vectors) {
    for (const Ending ending : {Ending::store, Ending::accumulate, Ending::row_factors}) {
      const bool overlaps = vectors > 1 && ending != Ending::accumulate;
      for (int missing = 0; missing < (overlaps ? simd::lanes<T> : 1); ++missing) {
        Example<T> example({11, 29, vectors, true, ending, missing}, 8);
        example.run_wide();
        check(example.product_is_right() && example.gaps_are_untouched(),
              "a product of any number of columns is that of its blocks");
      }
    }
  }
}

template <class T>
void tall_wide_products_are_right() {
  const std::pair<std::ptrdiff_t, std::ptrdiff_t> sizes[] = {
      {47, 13}, {48, 13}, {49, 13}, {97, 13}, {150, 13}, {49, 2 * max_sum}};
  for (const bool contiguous_rows : {false, true}) {
    for (const Ending ending : {Ending::store, Ending::accumulate, Ending::row_factors}) {
      for (const auto& [rows, depth] : sizes) {
        Example<T> example({rows, depth, 6, contiguous_rows, ending}, 9);
        example.run_wide();
        check(example.product_is_right() && example.gaps_are_untouched(),
              "rows are multiplied a part at a time");
      }
    }
  }
}

template <class T>
void rows_are_prefetched_between_blocks() {
  char memory[64 * 40] = {};
  static const std::ptrdiff_t offsets[] = {0};
  RowPrefetch prefetch;
  prefetch.add({memory, ElementType::float32, offsets, 0, 64, 4}, 0, 0, 0, 40, 16);
  Example<T> example({17, 3, 3, false, Ending::store}, 10);
  Product<T> product = example.product();
  product.prefetch = &prefetch;
  multiply(product);
  check(example.product_is_right(), "the product is the same");
  const std::ptrdiff_t blocks = (17 + max_rows_of<3> - 1) / max_rows_of<3>;
  check(prefetch.bytes() == 64 * (40 - blocks), "a row after each block");
}

// The rows of an example, packed in blocks with NaN between them: the bits of the example's
// product.
template <class T>
void packed_blocks_have_the_same_bits() {
  constexpr std::ptrdiff_t most = max_rows_of<max_vectors>;
  for (const std::ptrdiff_t rows : {1, 2, 3, 5, 8, 9, 13, 31}) {
    for (int vectors = 1; vectors <= max_vectors; ++vectors) {
      for (const std::ptrdiff_t depth : {1, 7, 130}) {
        for (const Ending ending : {Ending::store, Ending::accumulate}) {
          Example<T> example({rows, depth, vectors, false, ending, 0, true}, 11);
          Example<T> packed = example;
          example.run();
          const EvenRanges blocks{rows, (rows + most - 1) / most};
          const std::ptrdiff_t distance = depth * most + 3;
          std::vector<T> a(static_cast<std::size_t>(distance * blocks.count),
                           std::numeric_limits<T>::quiet_NaN());
          for (std::ptrdiff_t block = 0; block < blocks.count; ++block) {
            for (std::ptrdiff_t row = 0; row < blocks.length(block); ++row) {
              for (std::ptrdiff_t k = 0; k < depth; ++k) {
                packed.at(a, block * distance + k * most + row) =
                    packed.at(packed.a, (blocks.begin(block) + row) * packed.a_row + k);
              }
            }
          }
          Product<T> product = packed.product();
          product.a = a.data();
          product.a_row = 1;
          product.a_step = most;
          multiply_blocks(product, blocks, distance, packed.b.data());
          check(example.product_is_right() && packed.c == example.c,
                "packed blocks have the bits of rows in place");
        }
      }
    }
  }
}

template <class T>
void a_product_without_rows_does_nothing() {
  Product<T> product{};
  product.vectors = 2;
  product.depth = 5;
  product.a_step = 1;
  multiply(product);
  check(true, "a product without rows touches no memory");
}

template <class T>
void a_row_has_the_same_bits_among_others() {
  // the same row among 1 … 17 others: the same bits
  const Sizes sizes{17, 129, 3, false, Ending::store};
  Example<T> whole(sizes, 5);
  whole.run();
  bool same = true;
  for (std::ptrdiff_t rows = 1; rows < 17; ++rows) {
    Example<T> part(sizes, 5);
    part.sizes.rows = rows;
    part.run();
    for (std::ptrdiff_t i = 0; i < (rows - 1) * part.c_row + part.width; ++i) {
      const T x = part.at(part.c, i), y = whole.at(whole.c, i);
      same &= x == y || (std::isnan(x) && std::isnan(y));
    }
  }
  check(same, "a row has the same bits in blocks of any height");
}

template <class T>
void a_nan_stays_in_its_row_and_lane() {
  Example<T> example({7, 5, 2, false, Ending::maximum}, 6);
  example.at(example.a, 2 * example.a_row + 1) = std::numeric_limits<T>::quiet_NaN();
  example.run();
  bool right = true, raised = true;
  for (std::ptrdiff_t lane = 0; lane < example.width; ++lane) {
    for (std::ptrdiff_t row = 0; row < 7; ++row) {
      right &= std::isnan(example.at(example.c, row * example.c_row + lane)) == (row == 2);
    }
    raised &= !std::isnan(example.at(example.maximum, lane));
  }
  check(right, "a NaN of A reaches its row alone");
  check(raised, "a NaN does not become the maximum");
}

template <class T>
void everything() {
  every_block_is_right<T>();
  wide_products_are_right<T>();
  tall_wide_products_are_right<T>();
  rows_are_prefetched_between_blocks<T>();
  packed_blocks_have_the_same_bits<T>();
  a_product_without_rows_does_nothing<T>();
  a_row_has_the_same_bits_among_others<T>();
  a_nan_stays_in_its_row_and_lane<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
