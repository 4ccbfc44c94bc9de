// A gate and what it lets through, side by side in each row of x (N, 2 F):
//   y[n, i] = f(x[n, i]) · x[n, F + i]                                                 i < F
// and its derivative
//   dx[n, i] = dy[n, i] · x[n, F + i] · f′(x[n, i])      dx[n, F + i] = dy[n, i] · f(x[n, i])
// Rows of x and dx are contiguous, those of y and dy too. dx may be x; otherwise outputs overlap no
// input.
#pragma once

#include <cstddef>

#include "kernels/activations.hpp"

namespace heedful {

struct GatedSizes {
  std::ptrdiff_t rows, width;  // N, F
};

template <class T>
void gated_activation_forward(Activation kind, const GatedSizes& sizes, const T* x, T* y,
                              const Team& team);

template <class T>
void gated_activation_backward(Activation kind, const GatedSizes& sizes, const T* x, const T* dy,
                               T* dx, const Team& team);

}  // namespace heedful
