// The operations after the product of a dense layer, on a part of a row while it is in the cache:
//   before = sums + bias      y = activation(before) + residual
#pragma once

#include <cstddef>

#include "arrays/matrix.hpp"
#include "kernels/activations.hpp"

namespace heedful {

template <class T>
struct Epilogue {
  const T* bias;             // (Out) or nullptr
  Matrix<const T> residual;  // (N, Out) or none; may be y
  Activation activation;
  Matrix<T> before, y;  // (N, Out); before or none

  // Computes columns [first, first + count) of the row. Their sums may be stored in before or,
  // unless the residual is in the same memory, in y.
  void finish(const T* sums, std::ptrdiff_t row, std::ptrdiff_t first, std::ptrdiff_t count) const;
};

}  // namespace heedful
