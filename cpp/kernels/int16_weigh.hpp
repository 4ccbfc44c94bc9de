// Weighted sums of rows of int8 for few rows of weights, rounded to int16, as sums of integers:
//   sums[row][column] += Σ_key weights[row][key] · values[key][column]
// two keys at a time, whose elements are interleaved in registers. Half the instructions of
// weigh_kernel.hpp, which widens values to float.
#pragma once

#include <cstddef>
#include <cstdint>

#include "arrays/prefetch.hpp"
#include "arrays/rows.hpp"
#include "simd/packet.hpp"

namespace heedful {

// Columns are a multiple of as many. Their sums are in the order in which the interleaved elements
// lie: columns 0 … 3, 8 … 11 and so on, then 4 … 7, 12 … 15 and so on.
inline constexpr std::ptrdiff_t interleaved_columns = 2 * simd::lanes<float>;

// Sums of as many keys do not overflow.
inline constexpr std::ptrdiff_t max_int16_keys = 512;

// weights (rows, weight_stride)   sums (rows, columns)   values: Rows or a RowList
template <class Values, class Prefetch>
struct Int16Weighing {
  std::ptrdiff_t rows, keys, columns;
  const std::int16_t* weights;
  std::ptrdiff_t weight_stride;
  Values values;
  std::int32_t* sums;
  Prefetch prefetch;
};

void weigh_int16(const Int16Weighing<Rows<std::int8_t>, LinePrefetch>& weighing);
void weigh_int16(const Int16Weighing<RowList<std::int8_t>, ListPrefetch>& weighing);

// outs[column] += scale · sums[column], with the columns in order.
void add_int16_sums(const std::int32_t* sums, std::ptrdiff_t columns, float scale, float* outs);

}  // namespace heedful
