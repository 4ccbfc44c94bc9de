// Scores of few rows, rounded to int16, against keys of int8: dot_kernel.hpp on words of two
// columns each, with sums of integers:
//   scores[row][key] = Σ_k q[row][k] · keys[key][k]
// exact but for the conversion of the sums to float. It takes two fifths of the instructions of
// keys widened to float with VNNI, three quarters without, and has the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "arrays/prefetch.hpp"
#include "arrays/rows.hpp"
#include "simd/packet.hpp"

namespace heedful {

// Rows are full vectors of words: multiples of this many columns, at most as many as cannot
// overflow the 32 bits of a lane.
inline constexpr std::ptrdiff_t int16_columns = 2 * simd::lanes<float>;
inline constexpr std::ptrdiff_t max_int16_columns = 512 * simd::lanes<float>;

// Rounds a row to q with scale = max |row| / 32767. False, and nothing is written, where that is
// neither 0 nor a normal number, as of NaN and infinity. `columns` are full vectors.
bool round_to_int16(const float* row, std::ptrdiff_t columns, std::int16_t* q, float& scale);

// q (dot_rows_of(rows), columns)   scores (rows, score_stride)
struct Int16Rows {
  const std::int16_t* q;
  std::ptrdiff_t rows, columns;
};

void dot_int16_rows(const Int16Rows& rows, Rows<std::int8_t> keys, std::ptrdiff_t count,
                    const LinePrefetch& prefetch, float* scores, std::ptrdiff_t score_stride);
void dot_int16_rows(const Int16Rows& rows, RowList<std::int8_t> keys, std::ptrdiff_t count,
                    const ListPrefetch& prefetch, float* scores, std::ptrdiff_t score_stride);

}  // namespace heedful
