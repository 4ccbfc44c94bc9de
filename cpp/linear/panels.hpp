// Operands of dense products in the order in which the micro-kernel wants them.
//   panel   [k][lane]   up to three vectors of B's columns side by side; panels one after the other
//   blocks  [block][k][row]   A's rows, eight to a block, for A that lies turned
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/even_ranges.hpp"
#include "arrays/matrix.hpp"
#include "arrays/rows.hpp"
#include "kernels/micro_kernel.hpp"
#include "simd/packet.hpp"

namespace heedful {

// How columns are cut into panels: evenly, in whole vectors.
template <class T>
struct Panels {
  std::ptrdiff_t columns, vectors, count;

  explicit Panels(std::ptrdiff_t number)
      : columns(number),
        vectors((number + simd::lanes<T> - 1) / simd::lanes<T>),
        count((vectors + max_vectors - 1) / max_vectors) {}

  std::ptrdiff_t begin(std::ptrdiff_t panel) const {
    return EvenRanges{vectors, count}.begin(panel) * simd::lanes<T>;
  }
  std::ptrdiff_t lanes(std::ptrdiff_t panel) const { return begin(panel + 1) - begin(panel); }
  // Lanes that stand for a column.
  std::ptrdiff_t used(std::ptrdiff_t panel) const {
    return std::min(begin(panel + 1), columns) - begin(panel);
  }
};

// Which part of the depth is packed, and how much of it the panels hold: the panel p begins at
// held · Panels(columns).begin(p).
struct DepthPart {
  std::ptrdiff_t begin, depth, held;
};

// panels[part.begin + k][lane] of the part's B (depth, columns): b[k][column], or turned
// b[column][k]. Lanes behind the last column hold 0 or what the last column holds.
template <class T>
void pack_panels(Matrix<const T> b, bool turned, const DepthPart& part, std::ptrdiff_t columns,
                 T* panels);

// Rows of a block of A, and the number of blocks that are packed together: whole cache lines.
inline constexpr std::ptrdiff_t block_rows = 8;
inline constexpr std::ptrdiff_t group_blocks = 8;

// From one packed block to the next: two cache lines more than it takes, so that equal places in
// all blocks of a group fall into different cache sets.
inline std::ptrdiff_t block_distance(std::ptrdiff_t depth) { return (depth + 4) * block_rows; }

// How rows are cut into blocks: evenly, because a block of one row would wait for its loads.
inline EvenRanges row_blocks(std::ptrdiff_t rows) {
  return {rows, (rows + block_rows - 1) / block_rows};
}

// blocks[block][k][row] of the row blocks [first, last) of A, at most group_blocks, which lies
// turned: a[k][row]. Rows that a block lacks are 0.
template <class T>
void pack_blocks(Matrix<const T> a, const EvenRanges& blocks, std::ptrdiff_t first,
                 std::ptrdiff_t last, std::ptrdiff_t depth, T* packed);

// sums[row] = Σ_k block[k][row] of one block.
template <class T>
void sum_block(const T* block, std::ptrdiff_t depth, T* sums);

}  // namespace heedful
