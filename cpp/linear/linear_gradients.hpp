// Gradients of a dense layer y = x Wᵀ + bias:
//   dx = dy W, or dx += dy W         dweight += dyᵀ x         dbias += Σ_n dy[n]
//   dy (N, Out)   x, dx (N, In)   weight, dweight (Out, In)   dbias (Out) or none
// Outputs overlap no input. The same bits for any number of threads.
#pragma once

#include "linear/linear_forward.hpp"

namespace heedful {

template <class T>
void linear_gradient_input(const LinearSizes& sizes, Matrix<const T> dy, Matrix<const T> weight,
                           Matrix<T> dx, bool add, const Team& team);

template <class T>
void linear_gradient_weight(const LinearSizes& sizes, Matrix<const T> dy, Matrix<const T> x,
                            Matrix<T> dweight, T* dbias, const Team& team);

}  // namespace heedful
