// Rows of bfloat16 in the caller's arrays in the layout of the tile kernel: the depth in blocks of
// 32 elements, the last one filled with zeros. Nothing is rounded.
#pragma once

#include <cstddef>
#include <cstdint>

#include "arrays/rows.hpp"
#include "arrays/tensor_view.hpp"
#include "kernels/tile_kernel.hpp"

namespace heedful {

// Rows [first, first + count) of one head: in place if they fill blocks and have no gaps, else
// copied into buffer (count, whole blocks). Far apart, the sixteen rows of a tile may share one set
// of L1.
Rows<std::uint16_t> load_tile_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                                   std::ptrdiff_t first, std::ptrdiff_t count,
                                   std::ptrdiff_t columns, std::uint16_t* buffer);

inline bool holds_tile_rows(const TensorView& view, std::ptrdiff_t columns) {
  return view.column_stride == 2 && view.row_stride == 2 * columns && columns % tile_depth == 0 &&
         !view.pages;
}

// Rows [first, first + count) of one head, copied: to (padded_count, whole blocks), with rows of
// zeros past the last one.
void copy_tile_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                    std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t columns,
                    std::ptrdiff_t padded_count, std::uint16_t* to);

// to[row / 2 · stride + column]: words of rows 2k and 2k + 1 of [first, first + count); the odd row
// past the last one is zeros. Columns past the last one are not written.
void pair_tile_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                    std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t first_column,
                    std::ptrdiff_t columns, std::uint32_t* to, std::ptrdiff_t stride);

// to[column · stride + before + row] of rows [first, first + count), and zeros in the rest of the
// blocks that they touch.   to (columns, stride)
void transpose_tile_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                         std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t columns,
                         std::ptrdiff_t before, std::uint16_t* to, std::ptrdiff_t stride);

}  // namespace heedful
