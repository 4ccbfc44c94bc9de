#include "kernels/micro_kernel.hpp"

#include <algorithm>
#include <utility>

#include "kernels/column_blocks.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// Rows of a block: as many accumulators as leave registers for a row of B, a broadcast, and without
// fused multiply-add a product. More than 8 are not faster.
template <int Vectors>
inline constexpr int max_rows =
    std::min(8, (simd::registers - Vectors - 1 - (simd::fused ? 0 : 1)) / Vectors);

template <class T, int Rows, int Vectors, bool ContiguousRows>
void block(const Product<T>& p, std::ptrdiff_t first_row) {
  using P = simd::Packet<T>;
  constexpr int width = simd::lanes<T>;
  const std::ptrdiff_t row_stride = ContiguousRows ? 1 : p.a_row;
  const std::ptrdiff_t step = ContiguousRows ? p.a_step : 1;
  const T* a = p.a + first_row * row_stride;
  const T* b = p.b;
  P sums[Rows][Vectors];
#pragma GCC unroll 32
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) sums[r][v] = simd::broadcast(T{0});
  }
#pragma GCC unroll 4
  for (std::ptrdiff_t k = 0; k < p.depth; ++k) {
    P columns[Vectors];
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) columns[v] = simd::load(b + v * width);
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r) {
      const P element = simd::broadcast(a[r * row_stride]);
#pragma GCC unroll 32
      for (int v = 0; v < Vectors; ++v) {
        sums[r][v] = simd::multiply_add(element, columns[v], sums[r][v]);
      }
    }
    a += step;
    b += p.b_step;
  }
  T* const c = p.c + first_row * p.c_row;
  if (p.accumulate) {
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 32
      for (int v = 0; v < Vectors; ++v) {
        T* const to = c + r * p.c_row + v * width;
        simd::store(to, simd::add(simd::load(to), sums[r][v]));
      }
    }
    return;
  }
  if (p.row_factors) {
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r) {
      const P factor = simd::broadcast(p.row_factors[first_row + r]);
#pragma GCC unroll 32
      for (int v = 0; v < Vectors; ++v) {
        simd::store(c + r * p.c_row + v * width, simd::multiply(sums[r][v], factor));
      }
    }
    return;
  }
#pragma GCC unroll 32
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) simd::store(c + r * p.c_row + v * width, sums[r][v]);
  }
  if (p.maximum) {
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) {
      P maximum = simd::load(p.maximum + v * width);
#pragma GCC unroll 32
      for (int r = 0; r < Rows; ++r) maximum = simd::maximum(maximum, sums[r][v]);
      simd::store(p.maximum + v * width, maximum);
    }
  }
}

template <class T>
using Block = void (*)(const Product<T>&, std::ptrdiff_t);

template <class T, int Vectors, bool ContiguousRows, int... Index>
void blocks(const Product<T>& p, std::integer_sequence<int, Index...>) {
  static constexpr Block<T> table[] = {block<T, Index + 1, Vectors, ContiguousRows>...};
  constexpr std::ptrdiff_t max_block_rows = sizeof...(Index);
  // rows are split evenly, because a block of one row would stall on its loads
  const std::ptrdiff_t count = (p.rows + max_block_rows - 1) / max_block_rows;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const std::ptrdiff_t begin = p.rows * i / count;
    const std::ptrdiff_t end = p.rows * (i + 1) / count;
    table[end - begin - 1](p, begin);
  }
}

template <class T, int Vectors>
void by_layout(const Product<T>& p) {
  constexpr auto rows = std::make_integer_sequence<int, max_rows<Vectors>>();
  if (p.a_row == 1) {
    blocks<T, Vectors, true>(p, rows);
  } else {
    blocks<T, Vectors, false>(p, rows);
  }
}

}  // namespace

template <class T>
void multiply(const Product<T>& product) {
  static_assert(max_block_vectors <= 4);
  switch (product.vectors) {
    case 1:
      return by_layout<T, 1>(product);
    case 2:
      return by_layout<T, 2>(product);
    case 3:
      return by_layout<T, 3>(product);
    case 4:
      if constexpr (max_block_vectors >= 4) return by_layout<T, 4>(product);
  }
}

template <class T>
void multiply_wide(Product<T> product, std::ptrdiff_t columns) {
  const ColumnBlocks blocks(columns, simd::lanes<T>, max_block_vectors);
  const T* const b = product.b;
  T* const c = product.c;
  for (std::ptrdiff_t block = 0; block < blocks.count(); ++block) {
    product.vectors = blocks.vectors(block);
    product.b = b + blocks.begin(block);
    product.c = c + blocks.begin(block);
    multiply(product);
  }
}

template void multiply(const Product<float>&);
template void multiply(const Product<double>&);
template void multiply_wide(Product<float>, std::ptrdiff_t);
template void multiply_wide(Product<double>, std::ptrdiff_t);

}  // namespace heedful
