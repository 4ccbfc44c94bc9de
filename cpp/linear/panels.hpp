// Operands of dense products packed in the order in which the micro-kernel reads them.
//   panel   [k][lane]   up to three vectors of B's columns side by side; panels one after the other
//   blocks  [block][k][row]   A's rows, packed_rows to a block
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/even_ranges.hpp"
#include "arrays/matrix.hpp"
#include "arrays/rows.hpp"
#include "kernels/micro_kernel.hpp"
#include "simd/packet.hpp"

namespace heedful {

// The split of columns into panels: evenly, in full vectors.
template <class T>
struct Panels {
  std::ptrdiff_t columns, vectors, count;

  explicit Panels(std::ptrdiff_t num_columns)
      : columns(num_columns),
        vectors((num_columns + simd::lanes<T> - 1) / simd::lanes<T>),
        count((vectors + max_vectors - 1) / max_vectors) {}

  std::ptrdiff_t begin(std::ptrdiff_t panel) const {
    return EvenRanges{vectors, count}.begin(panel) * simd::lanes<T>;
  }
  std::ptrdiff_t lanes(std::ptrdiff_t panel) const { return begin(panel + 1) - begin(panel); }
  // Number of lanes that are not padding.
  std::ptrdiff_t used(std::ptrdiff_t panel) const {
    return std::min(begin(panel + 1), columns) - begin(panel);
  }
};

// The slice of the depth to pack, and the depth that the panels hold: panel p begins at
// held · Panels(columns).begin(p).
struct DepthSlice {
  std::ptrdiff_t begin, depth, held;
};

// panels[slice.begin + k][lane] of the slice's B (depth, columns): b[k][column], or transposed
// b[column][k]. Padding lanes hold 0 or the last column.
template <class T>
void pack_panels(Matrix<const T> b, bool transposed, const DepthSlice& slice,
                 std::ptrdiff_t columns, T* panels);

// Which operand of a dense product stays in L1 while it is multiplied by all of the other. With 16
// registers a block has four rows, which read a panel of B at 16 bytes a cycle: there the panel
// stays in L1 and A is packed, in L2. With 32, eight rows of A stay in L1 and B is in L2.
inline constexpr bool panels_first = simd::fused && simd::registers < 32;

// Rows of a block of A that is read in place, and of one that is packed: as many as the
// micro-kernel multiplies at once where the blocks are in L2.
inline constexpr std::ptrdiff_t block_rows = 8;
inline constexpr std::ptrdiff_t packed_rows = panels_first ? max_rows_of<max_vectors> : block_rows;

// Number of blocks that are packed together: full cache lines of rows of A, and at most 192 KB.
inline constexpr std::ptrdiff_t group_blocks = panels_first ? 48 : 8;

// Distance between packed blocks: a cache line or two more than the size of a block, so that equal
// positions in all blocks of a group map to different cache sets.
inline std::ptrdiff_t block_distance(std::ptrdiff_t depth) { return (depth + 4) * packed_rows; }

// The split of rows into blocks: evenly, because a block of one row would stall on its loads.
inline EvenRanges row_blocks(std::ptrdiff_t rows, std::ptrdiff_t most) {
  return {rows, (rows + most - 1) / most};
}

// blocks[block][k][row] of the row blocks [first, last), at most group_blocks, of A: a[row][k], or
// transposed a[k][row]. Missing rows of a block are 0.
template <class T>
void pack_blocks(Matrix<const T> a, bool transposed, const EvenRanges& blocks, std::ptrdiff_t first,
                 std::ptrdiff_t last, std::ptrdiff_t depth, T* packed);

// sums[row] = Σ_k block[k][row] of one block.
template <class T>
void sum_block(const T* block, std::ptrdiff_t depth, T* sums);

}  // namespace heedful
