// Sums of products of int8 as floats, in one order of roundings everywhere:
//   value = float(sum − zero · weight sum) · scale · x_scale
// zero and x_scale are those of a row of x, weight sum and scale those of an output.
#pragma once

#include <cstddef>
#include <cstdint>

namespace heedful {

struct Int8Outputs {
  const float* scales;
  const std::int32_t* weight_sums;

  Int8Outputs from(std::ptrdiff_t first) const { return {scales + first, weight_sums + first}; }
};

// Of one row of x: values (count).
void scale_row(const std::int32_t* sums, std::ptrdiff_t count, const Int8Outputs& outputs,
               std::int32_t zero, float x_scale, float* values);

// Of a panel of rows, one in each lane: sums[output][lane] to rows[lane][output]. `lanes` is a
// multiple of the vector length, `count` the number of outputs, no less than a vector where there
// is a bias (count), which is then added.
void scale_panel(const std::int32_t* sums, std::ptrdiff_t lanes, std::ptrdiff_t count,
                 const Int8Outputs& outputs, const std::int32_t* zeros, const float* x_scales,
                 const float* bias, float* const* rows);

}  // namespace heedful
