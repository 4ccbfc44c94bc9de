// The innermost product, in every block size, against long double.
#include <cmath>
#include <cstdio>
#include <limits>
#include <utility>

#include "arrays/prefetch.hpp"
#include "check.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/product_example.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

template <class T>
void every_block_is_right() {
  const std::ptrdiff_t depths[] = {0, 1, 3, 64, 129, 2 * max_sum + 1};
  for (std::ptrdiff_t rows = 1; rows <= 17; ++rows) {
    for (int vectors = 1; vectors <= max_block_vectors; ++vectors) {
      for (const std::ptrdiff_t depth : depths) {
        for (const bool contiguous_rows : {false, true}) {
          for (const SideBySide rows_of : {SideBySide::none, SideBySide::b, SideBySide::b_and_c}) {
            for (const Ending ending :
                 {Ending::store, Ending::accumulate, Ending::maximum, Ending::row_factors}) {
              Example<T> example({rows, depth, vectors, contiguous_rows, ending, 0, rows_of},
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
