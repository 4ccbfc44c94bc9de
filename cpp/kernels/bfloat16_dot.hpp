// Scores of few rows of bfloat16 against keys of bfloat16, where the processor multiplies pairs:
// what dot_kernel.hpp does on numbers T, on words of two columns each.
//   scores[row][key] = factor · queries[row] · keys[key]
// Keys are neither copied nor widened, so a long cache is read a fifth faster. (Weighted sums stay
// with widened values: pairs of keys would need rounded weights, and gain a twentieth.)
// Runs only where simd::has_bfloat16_pairs().
#pragma once

#include <cstddef>
#include <cstdint>

#include "arrays/prefetch.hpp"
#include "arrays/rows.hpp"

namespace heedful {

// Rows are whole vectors of words: multiples of that many numbers.
inline constexpr std::ptrdiff_t pair_columns = 2 * simd::lanes<float>;

// queries (rows as dot_rows_of says, depth)   scores (rows, score_stride)
void dot_pair_rows(const std::uint16_t* queries, std::ptrdiff_t rows, std::ptrdiff_t depth,
                   float factor, Rows<std::uint16_t> keys, std::ptrdiff_t count,
                   const LinePrefetch& prefetch, float* scores, std::ptrdiff_t score_stride);

}  // namespace heedful
