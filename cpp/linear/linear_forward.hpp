// A dense layer:  before = x Wᵀ + bias      y = activation(before) + residual
//   x (N, In)   weight (Out, In)   bias (Out)   residual, before, y (N, Out)
// Bias, residual and before may be missing; before is written. Residual may be y; else outputs
// overlap no input. The order of every sum depends on In, and on whether N is above 8: the same
// bits for any number of threads, and for a row among few or among many others.
#pragma once

#include "arrays/matrix.hpp"
#include "linear/epilogue.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

struct LinearSizes {
  std::ptrdiff_t rows, inputs, outputs;  // N, In, Out

  double work() const {  // multiply-adds
    return static_cast<double>(rows) * static_cast<double>(inputs + 1) *
           static_cast<double>(outputs);
  }
};

// The team, or its caller alone where handing out the work takes longer than doing it.
inline Team team_for(const LinearSizes& sizes, const Team& team) {
  return {sizes.work() < 200e3 ? 1 : team.threads, team.interrupted};
}

template <class T>
void linear_forward(const LinearSizes& sizes, Matrix<const T> x, Matrix<const T> weight,
                    const Epilogue<T>& epilogue, const Team& team);

}  // namespace heedful
