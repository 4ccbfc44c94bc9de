// A dense layer whose weight is of bfloat16, computed in float:
//   y = activation(x Wᵀ + bias) + residual
//   x (N, In)   weight (Out, In), of bfloat16   bias (Out)   residual, y (N, Out)
// As linear_forward of the widened weight, with its bits.
#pragma once

#include "arrays/rows.hpp"
#include "linear/linear_forward.hpp"

namespace heedful {

void bfloat16_forward(const LinearSizes& sizes, Matrix<const float> x, Rows<simd::Bfloat16> weight,
                      const Epilogue<float>& epilogue, const Team& team);

}  // namespace heedful
