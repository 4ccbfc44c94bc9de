// Activations of dense layers and their derivatives, a vector at a time.
//   relu       max(x, 0)                    derivative 0 at 0
//   gelu       x Φ(x)                       Φ: the normal distribution
//   gelu_tanh  x (1 + tanh u) / 2           u = √(2/π) (x + 0.044715 x³)
//   silu       x σ(x)                       σ(x) = 1 / (1 + e^−x)
//   tanh, sigmoid
// NaN stays NaN. Inputs and outputs may be the same memory.
#pragma once

#include <cstddef>

#include "parallel/parallel_for.hpp"

namespace heedful {

enum class Activation { none, relu, gelu, gelu_tanh, silu, tanh, sigmoid };

// y = f(x) over contiguous elements, on the calling thread.
template <class T>
void activate(Activation kind, const T* x, T* y, std::ptrdiff_t count);

// dx = dy · f′(x)
template <class T>
void activation_gradient(Activation kind, const T* x, const T* dy, T* dx, std::ptrdiff_t count);

// The same on all threads of a team.
template <class T>
void activation_forward(Activation kind, const T* x, T* y, std::ptrdiff_t count, const Team& team);
template <class T>
void activation_backward(Activation kind, const T* x, const T* dy, T* dx, std::ptrdiff_t count,
                         const Team& team);

}  // namespace heedful
