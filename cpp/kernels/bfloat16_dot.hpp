// Scores of few rows of bfloat16 against keys of bfloat16, where the processor multiplies pairs:
// dot_kernel.hpp on words of two columns each instead of elements of type T.
//   scores[row][key] = factor · queries[row] · keys[key]
// Keys are neither copied nor widened, which makes a pass over a long KV cache 20 % faster on Zen
// 5, and 12 % slower on Intel's processors (simd/bfloat16_ways.cpp). (Weighted sums use widened
// values: pairs of keys would need rounded weights, for a gain of 5 %.) Runs only where
// simd::has_bfloat16_pairs().
#pragma once

#include <cstddef>
#include <cstdint>

#include "arrays/prefetch.hpp"
#include "arrays/rows.hpp"

namespace heedful {

// Rows are full vectors of words: multiples of this many columns.
inline constexpr std::ptrdiff_t pair_columns = 2 * simd::lanes<float>;

// queries (dot_rows_of(rows), depth)   scores (rows, score_stride)
void dot_pair_rows(const std::uint16_t* queries, std::ptrdiff_t rows, std::ptrdiff_t depth,
                   float factor, Rows<std::uint16_t> keys, std::ptrdiff_t count,
                   const LinePrefetch& prefetch, float* scores, std::ptrdiff_t score_stride);

}  // namespace heedful
