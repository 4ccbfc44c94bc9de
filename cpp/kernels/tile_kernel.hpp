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
// Whoever calls fills blocks with zeros. `Tiles` is simd::TileRegisters or simd::TileModel.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/tiles.hpp"

namespace heedful {

// Elements of the depth that a tile multiplies at once.
inline constexpr std::ptrdiff_t tile_depth = 32;

inline constexpr std::ptrdiff_t tile_blocks(std::ptrdiff_t depth) {
  return (depth + tile_depth - 1) / tile_depth;
}

struct TileProduct {
  std::ptrdiff_t rows, blocks;
  int lanes;  // full vectors, at most max_vectors
  const std::uint16_t* a;
  std::ptrdiff_t a_row;
  const std::uint32_t* b;
  float* c;
  bool accumulate = false;
  float factor = 1;          // unless accumulate
  float* maximum = nullptr;  // (lanes): raised to the maximum of each lane of C
};

template <class Tiles>
void multiply(Tiles& tiles, const TileProduct& product);

}  // namespace heedful
