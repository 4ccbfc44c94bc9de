// Rows of bfloat16 in the caller's arrays in the layout of the pair kernel: words of two elements.
//   queries   panel [depth / 2][lane]: two columns of a query per word
//   values    [key / 2][column]: one column of two keys per word
// Columns and keys past the end are zeros. Nothing is rounded.
#pragma once

#include <cstddef>
#include <cstdint>

#include "arrays/rows.hpp"
#include "arrays/tensor_view.hpp"
#include "kernels/word_panels.hpp"

namespace heedful {

// Number of words for `count` elements.
inline constexpr std::ptrdiff_t pairs_of(std::ptrdiff_t count) { return (count + 1) / 2; }

// Whether rows are contiguous 16-bit elements of which `columns` fill whole words, one stride
// apart.
inline bool holds_pairs(const TensorView& view, std::ptrdiff_t columns) {
  return view.column_stride == 2 && columns % 2 == 0 && !view.pages;
}

// Rows [first, first + count) of one head in place, or else copied into buffer
// (count, 2 · pairs).
Rows<std::uint16_t> load_paired_columns(const TensorView& view, std::ptrdiff_t item,
                                        std::ptrdiff_t head, std::ptrdiff_t first,
                                        std::ptrdiff_t count, std::ptrdiff_t columns,
                                        std::uint16_t* buffer);

// words[pair][column] of rows [first, first + count).
void load_paired_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                      std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t columns,
                      std::uint32_t* words);

}  // namespace heedful
