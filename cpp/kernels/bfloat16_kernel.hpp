// The products of attention on pairs of bfloat16, where the processor multiplies them directly: a
// register block of C = factor · A B or C += A B like that of micro_kernel.hpp, with words of two
// elements instead of elements. Summed in float.
//
//   A (rows, pairs)   words, broadcast in place:         a[row · a_row + pair · a_step]
//   B (pairs, V · W)  vectors of words:                  b[pair · b_step + lane]
//   C (rows, V · W)   vectors of floats:                 c[row · c_row + lane]
//
//   scores    Sᵀ[key][query] = K Qᵀ       A = keys, in place: a pair is two columns
//                                          B = query panel [depth / 2][lane][2]
//   weighted  Oᵀ[d][query] += Vᵀ Pᵀ       A = values, two keys interleaved [key / 2][d][2]
//                                          B = weights, rounded [key / 2][lane][2]
//   O = P V, all keys at once              A = weights, B = values, both as above
// So keys are read in place, and values are interleaved once for all panels of a task.
// Everything here runs only where simd::has_bfloat16_pairs().
#pragma once

#include <cstddef>
#include <cstdint>

#include "arrays/prefetch.hpp"

namespace heedful {

struct PairProduct {
  std::ptrdiff_t rows, pairs;
  int vectors;  // V: 1 to max_block_vectors; above max_vectors only where a_row is 2
  const std::uint16_t* a;
  std::ptrdiff_t a_row, a_step;  // in 16-bit elements; one of them is 2
  const std::uint32_t* b;
  std::ptrdiff_t b_step;
  float* c;
  std::ptrdiff_t c_row;
  bool accumulate = false;
  float factor = 1;          // unless accumulate
  float* maximum = nullptr;  // (V · W): raised to the maximum of each lane of C
  // (rows): C = A B · row_factors[row]; only where a_row is 2
  const float* row_factors = nullptr;
  RowPrefetch* prefetch = nullptr;  // a step after each block
};

void multiply(const PairProduct& product);

// The same for any number of columns not below a vector, where a_row is 2; see ColumnBlocks.
void multiply_wide(PairProduct product, std::ptrdiff_t columns);

// The weighted sum where some keys are hidden from some lanes and some value is NaN or ∞, as
// guarded_columns is for elements T: c[row][lane] += Σ_pair a · (b where seen), in the order of the
// product above, so finite results have the same bits.
//   seen (pairs, V · W): all ones in the half of a word whose key is not hidden from the lane
void multiply_seen(const PairProduct& product, const std::uint32_t* seen);

// The argument `seen` of multiply_seen, from scores that are −∞ where hidden, in pairs like the
// weights.
const std::uint32_t* pair_seen(const float* scores, std::ptrdiff_t keys, int lanes, bool begins_odd,
                               std::uint32_t* words);

}  // namespace heedful
