// The innermost product, of which all others consist: a register block of C = A B or C += A B.
//
//   A (rows, depth)  elements, broadcast in place:              a[row · a_row + k · a_step]
//   B (depth, V · W) vectors:                                    b[k · b_step + lane]
//   C (rows, V · W)  vectors:                                    c[row · c_row + lane]
//
// A and B in each product of attention (panels are [depth][lane], see
// arrays/rows.hpp):
//   scores    Sᵀ[key][query] = K Qᵀ         A = keys, in place           B = query panel
//   weighted  Oᵀ[d][query] += Vᵀ Pᵀ         A = values, in place         B = weights
//   dPᵀ       = V dOᵀ                       A = values, in place         B = dout panel
//   dV, dK    += Pᵀ dO, dSᵀ Q               A = weights, in place        B = dout rows, query rows
//   dQᵀ       = Kᵀ dSᵀ                      A = keys, in place           B = score gradients
//   O         = P V, all keys at once       A = weights, in place        B = values, in place
// So neither keys, values nor weights are ever packed or transposed. C is a block of 8 × 3 vectors
// where there are 32 registers, 4 × 3 where there are 16: with 3 vectors a load feeds enough
// multiplications to keep both FMA units busy.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/even_ranges.hpp"
#include "arrays/prefetch.hpp"
#include "simd/packet.hpp"

namespace heedful {

inline constexpr int max_vectors = 3;  // of a panel
// Of a block: with 32 registers, four vectors by six rows are as fast as three by eight, and divide
// the usual depths.
inline constexpr int max_block_vectors = simd::registers >= 32 ? 4 : max_vectors;

// Rows of a block: as many accumulators as leave registers for a row of B, a broadcast, and without
// fused multiply-add a product. More than 8 are not faster.
template <int Vectors>
inline constexpr int max_rows_of =
    std::min(8, (simd::registers - Vectors - 1 - (simd::fused ? 0 : 1)) / Vectors);

// Products of a longer depth are summed in parts: at a depth of 1,000 in one sum the root mean
// square of the errors was up to 2.7 times that of NumPy's product.
inline constexpr std::ptrdiff_t max_sum = 384;

template <class T>
struct Product {
  std::ptrdiff_t rows, depth;
  int vectors;  // V: 1 to max_block_vectors
  const T* a;
  std::ptrdiff_t a_row, a_step;  // one of them is 1
  const T* b;
  std::ptrdiff_t b_step;
  T* c;
  std::ptrdiff_t c_row;
  // C += A B; the sum over depth is computed first, so long sums are summed in two levels
  bool accumulate = false;
  // (V · W): raised to the maximum of each lane of C, while C is still in registers
  T* maximum = nullptr;
  // (rows): C, with what is added to it, times row_factors[row]
  const T* row_factors = nullptr;
  RowPrefetch* prefetch = nullptr;  // a step after each block
};

template <class T>
void multiply(const Product<T>& product);

// The same for blocks of at most a_step = max_rows_of<max_vectors> rows of A, packed
// [block][k][row] at a distance from one another, by a panel of B, [k][lane]; of a depth of at most
// max_sum, and without row factors. Meanwhile the next panel, as long as this one, is prefetched,
// unless it is nullptr.
template <class T>
void multiply_blocks(const Product<T>& product, const EvenRanges& blocks, std::ptrdiff_t distance,
                     const T* next_panel);

// The same for any number of columns not below a vector. With `accumulate` the columns must fill
// their vectors: see ColumnBlocks.
template <class T>
void multiply_wide(Product<T> product, std::ptrdiff_t columns);

}  // namespace heedful
