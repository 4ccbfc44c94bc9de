// The products of attention on pairs of bfloat16, where the processor multiplies them as they are:
// a register block of C = factor · A B or C += A B like that of micro_kernel.hpp, with a word of
// two numbers where that has a number. Summed in float.
//
//   A (rows, pairs)   words, broadcast where they lie:  a[row · a_row + pair · a_step]
//   B (pairs, V · W)  vectors of words:                  b[pair · b_step + lane]
//   C (rows, V · W)   vectors of floats:                 c[row · c_row + lane]
//
//   scores    Sᵀ[key][query] = K Qᵀ       A = keys, in place: a pair is two columns
//                                          B = query panel [depth / 2][lane][2]
//   weighted  Oᵀ[d][query] += Vᵀ Pᵀ       A = values, two keys interleaved [key / 2][d][2]
//                                          B = weights, rounded [key / 2][lane][2]
//   O = P V, all keys at once              A = weights, B = values, both as above
// So keys are read where they lie, and values interleaved once for all panels of a task.
// Everything here runs only where simd::has_bfloat16_pairs().
#pragma once

#include <cstddef>
#include <cstdint>

namespace heedful {

struct PairProduct {
  std::ptrdiff_t rows, pairs;
  int vectors;  // V: 1 to max_block_vectors; above max_vectors only where a_row is 2
  const std::uint16_t* a;
  std::ptrdiff_t a_row, a_step;  // in numbers of 16 bits; one of them is 2
  const std::uint32_t* b;
  std::ptrdiff_t b_step;
  float* c;
  std::ptrdiff_t c_row;
  bool accumulate = false;
  float factor = 1;          // of what is not accumulated
  float* maximum = nullptr;  // (V · W): raised to the greatest of each lane of C
  // (rows): C = A B · row_factors[row]; only where a_row is 2
  const float* row_factors = nullptr;
};

void multiply(const PairProduct& product);

// The same for any number of columns from a vector on, where a_row is 2; see ColumnBlocks.
void multiply_wide(PairProduct product, std::ptrdiff_t columns);

// The weighted sum where some keys are hidden from some lanes and some value is NaN or ∞, as
// guarded_columns is for numbers T: c[row][lane] += Σ_pair a · (b where seen), in the order of the
// product above, so finite results have the same bits.
//   seen (pairs, V · W): all ones in the half of a word whose key the lane sees
void multiply_seen(const PairProduct& product, const std::uint32_t* seen);

// words[pair][lane] of weights [key][lane], rounded to even, and sums[lane] += those. The first
// pair lacks its even key where `begins_odd`, the last may lack its odd one: what is lacking weighs
// 0. words may be weights' own memory. Returns the number of pairs.
std::ptrdiff_t pair_weights(const float* weights, std::ptrdiff_t keys, int lanes, bool begins_odd,
                            std::uint32_t* words, float* sums);

// What multiply_seen wants, of scores that are −∞ where hidden, pair by pair like the weights.
const std::uint32_t* pair_seen(const float* scores, std::ptrdiff_t keys, int lanes, bool begins_odd,
                               std::uint32_t* words);

// numbers[row][lane] *= factors[lane]
void scale_columns(float* numbers, std::ptrdiff_t rows, int lanes, const float* factors);

}  // namespace heedful
