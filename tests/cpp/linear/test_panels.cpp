// Operands of dense products packed for the micro-kernel: every element at its position.
#include <vector>

#include "check.hpp"
#include "linear/gapped_matrix.hpp"
#include "linear/panels.hpp"

namespace heedful {
namespace {

template <class T>
void columns_are_split_into_full_vectors() {
  for (std::ptrdiff_t columns = 1; columns <= 7 * max_vectors * simd::lanes<T>; ++columns) {
    const Panels<T> panels(columns);
    bool right = panels.begin(0) == 0 && panels.begin(panels.count) >= columns;
    for (std::ptrdiff_t panel = 0; panel < panels.count; ++panel) {
      right &= panels.lanes(panel) % simd::lanes<T> == 0 && panels.used(panel) > 0 &&
               panels.lanes(panel) <= max_vectors * simd::lanes<T>;
    }
    check(right, "panels hold one to three vectors and cover all columns");
  }
}

template <class T>
void panels_hold_every_element(bool transposed) {
  for (const std::ptrdiff_t depth : {1, 3, 16, 19, 97}) {
    for (const std::ptrdiff_t columns : {1, 7, 16, 50, 97}) {
      const GappedMatrix<T> b(transposed ? columns : depth, transposed ? depth : columns, 1);
      // the slice [2, 2 + depth) of panels that hold three more
      const DepthSlice slice{2, depth, depth + 3};
      std::vector<T> packed(static_cast<std::size_t>(slice.held * padded<T>(columns)), T(99));
      pack_panels<T>({b.data.data(), b.stride}, transposed, slice, columns, packed.data());
      const Panels<T> panels(columns);
      bool right = true;
      for (std::ptrdiff_t panel = 0; panel < panels.count; ++panel) {
        const std::ptrdiff_t begin = panels.begin(panel), lanes = panels.lanes(panel);
        for (std::ptrdiff_t k = 0; k < slice.held; ++k) {
          for (std::ptrdiff_t lane = 0; lane < lanes; ++lane) {
            const T found = packed[static_cast<std::size_t>(slice.held * begin + k * lanes + lane)];
            if (k < 2 || k >= 2 + depth) {
              right &= found == T(99);
            } else if (lane < panels.used(panel)) {
              right &=
                  found == (transposed ? b.at(begin + lane, k - 2) : b.at(k - 2, begin + lane));
            } else {
              right &= !std::isnan(found);
            }
          }
        }
      }
      check(right, "panels[k][lane] is b[k][column]");
    }
  }
}

template <class T>
void blocks_hold_every_element_and_sum(bool transposed) {
  for (const std::ptrdiff_t rows : {1, 3, 4, 7, 8, 9, 61, 64, 97, 192}) {
    for (const std::ptrdiff_t depth : {1, 4, 7, 16, 97}) {
      const GappedMatrix<T> a(transposed ? depth : rows, transposed ? rows : depth, 1);
      const EvenRanges blocks = row_blocks(rows, packed_rows);
      const std::ptrdiff_t last = std::min(blocks.count, group_blocks);
      std::vector<T> packed(static_cast<std::size_t>(group_blocks * block_distance(depth)));
      pack_blocks<T>({a.data.data(), a.stride}, transposed, blocks, 0, last, depth, packed.data());
      bool right = true;
      for (std::ptrdiff_t block = 0; block < last; ++block) {
        const T* const place = packed.data() + block * block_distance(depth);
        const std::ptrdiff_t begin = blocks.begin(block), end = blocks.begin(block + 1);
        T sums[packed_rows];
        sum_block(place, depth, sums);
        for (std::ptrdiff_t row = 0; row < packed_rows; ++row) {
          double sum = 0;
          for (std::ptrdiff_t k = 0; k < depth; ++k) {
            T expected = 0;
            if (begin + row < end)
              expected = transposed ? a.at(k, begin + row) : a.at(begin + row, k);
            right &= place[k * packed_rows + row] == expected;
            sum += expected;
          }
          close(sums[row], sum, 1e-5, "the sum of a row");
        }
      }
      check(right, "blocks[block][k][row] is a[row][k], or a[k][row]");
    }
  }
}

template <class T>
void everything() {
  columns_are_split_into_full_vectors<T>();
  panels_hold_every_element<T>(false);
  panels_hold_every_element<T>(true);
  blocks_hold_every_element_and_sum<T>(false);
  blocks_hold_every_element_and_sum<T>(true);
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<float>();
  everything<double>();
  return summary();
}
