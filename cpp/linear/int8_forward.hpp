// A dense layer whose weight is int8, and whose input is quantised row by row as it comes:
//   x[n, k] ≈ x_scale[n] · (q[n, k] − zero[n])                 (kernels/quantised_row.hpp)
//   sum[n, o] = Σ_k (q[n, k] − zero[n]) · w[o, k]              in int32, exact
//   y = activation(float(sum) · scale[o] · x_scale[n] + bias[o]) + residual
//     x (N, In)   w (Out, In)   scale, bias (Out)   residual, y (N, Out)
// The sums have the same bits on every processor and for any number of rows and threads. In is at
// most max_int8_depth, so that no sum overflows.
#pragma once

#include <cstdint>

#include "arrays/matrix.hpp"
#include "linear/epilogue.hpp"
#include "linear/int8_scaling.hpp"
#include "linear/int8_split.hpp"
#include "linear/linear_forward.hpp"
#include "parallel/cost.hpp"

namespace heedful {

// 2^16 · 255 · 128 < 2^31
inline constexpr std::ptrdiff_t max_int8_depth = 1 << 16;

struct Int8Weight {
  Matrix<const std::int8_t> rows;
  Int8Outputs outputs;   // scales (Out), and weight sums (Out): Σ_k w[o, k]
  Int8Split split = {};  // of the rows, or none
};

// Whether calls of so many rows multiply a weight that was split, faster than one that was not.
bool int8_reads_split(std::ptrdiff_t rows);

// Four multiply-adds of int8 take the time of one of float.
inline Cost int8_cost(const LinearSizes& sizes) {
  const Cost of_float = cost_of(sizes);
  return {of_float.multiply_adds / 4, of_float.reads / 4,
          static_cast<double>(sizes.rows) * static_cast<double>(sizes.inputs + sizes.outputs)};
}

void int8_forward(const LinearSizes& sizes, Matrix<const float> x, const Int8Weight& weight,
                  const Epilogue<float>& epilogue, const Team& team);

}  // namespace heedful
