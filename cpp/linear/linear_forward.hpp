// A dense layer:  before = x Wᵀ + bias      y = activation(before) + residual
//   x (N, In)   weight (Out, In)   bias (Out)   residual, before, y (N, Out)
// Bias, residual and before may be missing; before is written. Residual may be y; else outputs
// overlap no input. The order of every sum depends on In, and on whether N is above 8: the same
// bits for any number of threads, and for a row among few or among many others.
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
