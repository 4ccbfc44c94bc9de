// The products of attention on tiles of bfloat16 (simd/tiles.hpp): C = factor · A B or C += A B.
// Summed in float, 32 elements of the depth at a time: C += Σ even products + Σ odd products.
//
//   A (rows, 32 · blocks)    elements, contiguous along the depth     a[row · a_row + k]
//   B (16 · blocks, lanes)   words of two elements, (2k, 2k + 1)      b[k · lanes + lane]
//   C (rows, lanes)          floats                                   c[row · lanes + lane]
//
//   scores    Sᵀ[key][query] = K Qᵀ       A = keys, in place if they fill blocks
//                                          B = query panel [depth / 2][lane][2]
//   weighted  Oᵀ[d][query] += Vᵀ Pᵀ       A = values, transposed [d][key]
//                                          B = weights, rounded [key / 2][lane][2]
// The same of int8 or uint8 (A) and int8 (B) in int32, exact modulo 2^32: 64 elements of the depth
// at a time, in words of four.
// Whoever calls fills blocks with zeros. `Tiles` is simd::TileRegisters or simd::TileModel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "arrays/prefetch.hpp"
#include "kernels/side_work.hpp"
#include "simd/tiles.hpp"

namespace heedful {

// Elements of the depth that a tile multiplies at once.
inline constexpr std::ptrdiff_t tile_depth = 32;
inline constexpr std::ptrdiff_t tile_rows = 16;

inline constexpr std::ptrdiff_t tile_blocks(std::ptrdiff_t depth) {
  return (depth + tile_depth - 1) / tile_depth;
}

// Turns of the side work of a product, at least.
inline constexpr std::ptrdiff_t tile_turns(std::ptrdiff_t rows, std::ptrdiff_t depth, int lanes) {
  return (rows + 2 * tile_rows - 1) / (2 * tile_rows) * ((lanes + 31) / 32) * tile_blocks(depth);
}

// Element: std::uint16_t (bits of bfloat16), std::int8_t or std::uint8_t.
template <class Element>
struct TileProductOf {
  static constexpr bool is_float = sizeof(Element) == 2;
  using Sum = std::conditional_t<is_float, float, std::int32_t>;

  std::ptrdiff_t rows, blocks;
  int lanes;  // full vectors, at most max_vectors
  const Element* a;
  std::ptrdiff_t a_row;
  const std::uint32_t* b;
  Sum* c;
  bool accumulate = false;
  // of floats alone:
  float factor = 1;                 // unless accumulate
  float* maximum = nullptr;         // (lanes): raised to the maximum of each lane of C
  RowPrefetch* prefetch = nullptr;  // a step after every eight rows
  SideWork* side = nullptr;         // a turn after every block of the depth
};

using TileProduct = TileProductOf<std::uint16_t>;

template <class Tiles, class Element>
void multiply(Tiles& tiles, const TileProductOf<Element>& product);

}  // namespace heedful
