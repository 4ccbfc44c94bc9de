// A dense layer:  before = x Wᵀ + bias      y = activation(before) + residual
//   x (N, In)   weight (Out, In)   bias (Out)   residual, before, y (N, Out)
// Bias, residual and before are optional; before is an output. Residual may be y; otherwise outputs
// overlap no input. The order of every sum depends on In and on whether N > 8 alone: a row has the
// same bits for any number of threads, and among few or many other rows.
#pragma once

#include "arrays/matrix.hpp"
#include "linear/epilogue.hpp"
#include "parallel/cost.hpp"

namespace heedful {

struct LinearSizes {
  std::ptrdiff_t rows, inputs, outputs;  // N, In, Out
};

// Of the layer and of each of its gradients.
inline Cost cost_of(const LinearSizes& sizes) {
  const double rows = static_cast<double>(sizes.rows), inputs = static_cast<double>(sizes.inputs);
  const double outputs = static_cast<double>(sizes.outputs);
  return {rows * (inputs + 1) * outputs, (rows + outputs) * inputs, rows * outputs};
}

template <class T>
void linear_forward(const LinearSizes& sizes, Matrix<const T> x, Matrix<const T> weight,
                    const Epilogue<T>& epilogue, const Team& team);

}  // namespace heedful
