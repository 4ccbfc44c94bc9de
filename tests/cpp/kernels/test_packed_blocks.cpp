// Products of packed blocks of rows: the bits of the rows where they are.
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

#include "arrays/prefetch.hpp"
#include "check.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/product_example.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t most = max_rows_of<max_vectors>;

// The rows of an example's A in blocks, with NaN between them.
template <class T>
struct PackedRows {
  EvenRanges blocks;
  std::ptrdiff_t distance;
  std::vector<T> a;

  explicit PackedRows(const Example<T>& example)
      : blocks{example.sizes.rows, (example.sizes.rows + most - 1) / most},
        distance(example.sizes.depth * most + 3),
        a(static_cast<std::size_t>(distance * blocks.count), std::numeric_limits<T>::quiet_NaN()) {
    for (std::ptrdiff_t block = 0; block < blocks.count; ++block) {
      for (std::ptrdiff_t row = 0; row < blocks.length(block); ++row) {
        const std::ptrdiff_t from = (blocks.begin(block) + row) * example.a_row;
        for (std::ptrdiff_t k = 0; k < example.sizes.depth; ++k) {
          Example<T>::at(a, block * distance + k * most + row) =
              Example<T>::at(example.a, from + k * example.a_step);
        }
      }
    }
  }

  Product<T> product(Example<T>& example) const {
    Product<T> product = example.product();
    product.a = a.data();
    product.a_row = 1;
    product.a_step = most;
    return product;
  }
};

template <class T>
void packed_blocks_have_the_bits_of_rows_in_place() {
  for (const SideBySide rows_of : {SideBySide::b, SideBySide::b_and_c}) {
    for (const std::ptrdiff_t rows : {1, 2, 3, 5, 8, 9, 13, 31}) {
      for (int vectors = 1; vectors <= max_vectors; ++vectors) {
        for (const std::ptrdiff_t depth : {1, 7, 130}) {
          for (const Ending ending : {Ending::store, Ending::accumulate, Ending::maximum}) {
            Example<T> in_place({rows, depth, vectors, false, ending, 0, rows_of}, 11);
            Example<T> example = in_place;
            in_place.run();
            const PackedRows<T> packed(example);
            const bool last = rows % 2 == 1;  // no panel follows
            multiply_blocks(packed.product(example), packed.blocks, packed.distance,
                            last ? nullptr : example.b.data());
            const std::size_t bytes = example.c.size() * sizeof(T);
            const bool same = std::memcmp(example.c.data(), in_place.c.data(), bytes) == 0;
            const bool right =
                check(in_place.product_is_right() && same, "packed blocks have the same bits") &&
                check(example.maximum_is_right(), "the maximum is that of the stored elements") &&
                check(example.gaps_are_untouched(), "nothing outside C is written");
            if (!right) {
              std::printf("at %td rows, %d vectors, depth %td, ending %d\n", rows, vectors, depth,
                          static_cast<int>(ending));
            }
          }
        }
      }
    }
  }
}

template <class T>
void a_row_is_prefetched_after_each_block() {
  char memory[64 * 40] = {};
  RowPrefetch prefetch;
  prefetch.add({memory, 64, 40, 64});
  Example<T> example({17, 3, 3, false, Ending::store, 0, SideBySide::b}, 10);
  const PackedRows<T> packed(example);
  Product<T> product = packed.product(example);
  product.prefetch = &prefetch;
  multiply_blocks(product, packed.blocks, packed.distance, example.b.data());
  check(example.product_is_right(), "the product is the same");
  check(prefetch.bytes() == 64 * (40 - packed.blocks.count), "a row after each block");
}

template <class T>
void everything() {
  packed_blocks_have_the_bits_of_rows_in_place<T>();
  a_row_is_prefetched_after_each_block<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
