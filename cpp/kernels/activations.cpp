#include "kernels/activations.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "arrays/element_ranges.hpp"
#include "simd/exp.hpp"
#include "simd/normal.hpp"
#include "simd/packet.hpp"
#include "simd/tanh.hpp"

namespace heedful {
namespace {

using simd::add;
using simd::broadcast;
using simd::multiply;
using simd::multiply_add;
using simd::Packet;
using simd::subtract;

// σ(x) and σ(−x) = 1 − σ(x), both without cancellation.
template <class T>
struct SigmoidPair {
  Packet<T> of_x, of_minus_x;

  explicit SigmoidPair(const Packet<T>& x) {
    const Packet<T> exponential = simd::exp<T>(subtract(broadcast(T(0)), simd::absolute(x)));
    const Packet<T> large = simd::divide(broadcast(T(1)), add(broadcast(T(1)), exponential));
    const Packet<T> small = multiply(exponential, large);
    const Packet<T> negative = simd::is_negative<T>(x);
    of_x = simd::select(negative, small, large);
    of_minus_x = simd::select(negative, large, small);
  }
};

// Each activation: value(x), and gradient(x, dy) = dy · derivative.
template <class T>
struct Relu {
  static Packet<T> value(const Packet<T>& x) {
    return simd::maximum(x, broadcast(T(0)));  // returns its first argument if that is NaN
  }
  // selected, not multiplied: 0 · ∞ would be NaN
  static Packet<T> gradient(const Packet<T>& x, const Packet<T>& dy) {
    return simd::select(simd::less_equal(x, broadcast(T(0))), broadcast(T(0)), dy);
  }
};

template <class T>
struct Gelu {
  static Packet<T> value(const Packet<T>& x) { return multiply(x, simd::Normal<T>(x).cdf); }
  static Packet<T> gradient(const Packet<T>& x, const Packet<T>& dy) {
    // Φ(x) + x φ(x), φ(x) = e^(−x²/2) / √(2π)
    const simd::Normal<T> normal(x);
    const Packet<T> density = multiply(normal.gaussian, broadcast(T(0.39894228040143267794)));
    return multiply(dy, multiply_add(x, density, normal.cdf));
  }
};

template <class T>
struct GeluTanh {
  static constexpr T slope = T(1.5957691216057307117);  // 2 √(2/π)
  static constexpr T cubic = T(0.044715);

  // x (1 + tanh u) / 2 = x σ(2 u), without cancellation where u is far below 0
  static Packet<T> twice_u(const Packet<T>& x, const Packet<T>& square) {
    return multiply(x, multiply_add(square, broadcast(slope * cubic), broadcast(slope)));
  }
  static Packet<T> value(const Packet<T>& x) {
    return multiply(x, simd::sigmoid<T>(twice_u(x, multiply(x, x))));
  }
  static Packet<T> gradient(const Packet<T>& x, const Packet<T>& dy) {
    // σ + x σ (1 − σ) (2 u)′
    const Packet<T> square = multiply(x, x);
    const SigmoidPair<T> sigma(twice_u(x, square));
    const Packet<T> inner = multiply_add(square, broadcast(3 * slope * cubic), broadcast(slope));
    const Packet<T> x_derivative = multiply(multiply(x, inner), sigma.of_minus_x);
    return multiply(dy, multiply_add(sigma.of_x, x_derivative, sigma.of_x));
  }
};

template <class T>
struct Silu {
  static Packet<T> value(const Packet<T>& x) {
    const Packet<T> one = broadcast(T(1));
    return simd::divide(x, add(one, simd::exp<T>(subtract(broadcast(T(0)), x))));
  }
  static Packet<T> gradient(const Packet<T>& x, const Packet<T>& dy) {
    // σ + x σ (1 − σ)
    const SigmoidPair<T> sigma(x);
    return multiply(dy, multiply_add(sigma.of_x, multiply(x, sigma.of_minus_x), sigma.of_x));
  }
};

template <class T>
struct Tanh {
  static Packet<T> value(const Packet<T>& x) { return simd::exact_tanh<T>(x); }
  static Packet<T> gradient(const Packet<T>& x, const Packet<T>& dy) {
    // 1 − tanh² as 4 e / (1 + e)² with e = e^(−2|x|): small derivatives keep their precision
    const Packet<T> exponential = simd::exp<T>(multiply(simd::absolute(x), broadcast(T(-2))));
    const Packet<T> sum = add(broadcast(T(1)), exponential);
    return multiply(dy, simd::divide(multiply(broadcast(T(4)), exponential), multiply(sum, sum)));
  }
};

template <class T>
struct Sigmoid {
  static Packet<T> value(const Packet<T>& x) { return simd::sigmoid<T>(x); }
  static Packet<T> gradient(const Packet<T>& x, const Packet<T>& dy) {
    // σ (1 − σ) as e / (1 + e)² with e = e^−|x|
    const Packet<T> exponential = simd::exp<T>(subtract(broadcast(T(0)), simd::absolute(x)));
    const Packet<T> sum = add(broadcast(T(1)), exponential);
    return multiply(dy, simd::divide(exponential, multiply(sum, sum)));
  }
};

// Elements past the last full vector are computed in a vector of their own.
template <class T, class Kind>
void values(const T* x, T* y, std::ptrdiff_t count) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  std::ptrdiff_t i = 0;
  for (; i + width <= count; i += width) simd::store(y + i, Kind::value(simd::load(x + i)));
  if (i == count) return;
  T tail[width] = {};
  std::copy_n(x + i, count - i, tail);
  simd::store(tail, Kind::value(simd::load(tail)));
  std::copy_n(tail, count - i, y + i);
}

template <class T, class Kind>
void gradients(const T* x, const T* dy, T* dx, std::ptrdiff_t count) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  std::ptrdiff_t i = 0;
  for (; i + width <= count; i += width) {
    simd::store(dx + i, Kind::gradient(simd::load(x + i), simd::load(dy + i)));
  }
  if (i == count) return;
  T x_tail[width] = {}, dy_tail[width] = {};
  std::copy_n(x + i, count - i, x_tail);
  std::copy_n(dy + i, count - i, dy_tail);
  simd::store(x_tail, Kind::gradient(simd::load(x_tail), simd::load(dy_tail)));
  std::copy_n(x_tail, count - i, dx + i);
}

}  // namespace

template <class T>
void activate(Activation kind, const T* x, T* y, std::ptrdiff_t count) {
  switch (kind) {
    case Activation::none:
      if (x != y && count > 0) std::memcpy(y, x, static_cast<std::size_t>(count) * sizeof(T));
      return;
    case Activation::relu:
      return values<T, Relu<T>>(x, y, count);
    case Activation::gelu:
      return values<T, Gelu<T>>(x, y, count);
    case Activation::gelu_tanh:
      return values<T, GeluTanh<T>>(x, y, count);
    case Activation::silu:
      return values<T, Silu<T>>(x, y, count);
    case Activation::tanh:
      return values<T, Tanh<T>>(x, y, count);
    case Activation::sigmoid:
      return values<T, Sigmoid<T>>(x, y, count);
  }
}

template <class T>
void activation_gradient(Activation kind, const T* x, const T* dy, T* dx, std::ptrdiff_t count) {
  switch (kind) {
    case Activation::none:
      return activate(kind, dy, dx, count);
    case Activation::relu:
      return gradients<T, Relu<T>>(x, dy, dx, count);
    case Activation::gelu:
      return gradients<T, Gelu<T>>(x, dy, dx, count);
    case Activation::gelu_tanh:
      return gradients<T, GeluTanh<T>>(x, dy, dx, count);
    case Activation::silu:
      return gradients<T, Silu<T>>(x, dy, dx, count);
    case Activation::tanh:
      return gradients<T, Tanh<T>>(x, dy, dx, count);
    case Activation::sigmoid:
      return gradients<T, Sigmoid<T>>(x, dy, dx, count);
  }
}

template <class T>
void activation_forward(Activation kind, const T* x, T* y, std::ptrdiff_t count, const Team& team) {
  parallel_for_elements(count, team, [&](std::ptrdiff_t begin, std::ptrdiff_t length) {
    activate(kind, x + begin, y + begin, length);
  });
}

template <class T>
void activation_backward(Activation kind, const T* x, const T* dy, T* dx, std::ptrdiff_t count,
                         const Team& team) {
  parallel_for_elements(count, team, [&](std::ptrdiff_t begin, std::ptrdiff_t length) {
    activation_gradient(kind, x + begin, dy + begin, dx + begin, length);
  });
}

template void activate(Activation, const float*, float*, std::ptrdiff_t);
template void activate(Activation, const double*, double*, std::ptrdiff_t);
template void activation_gradient(Activation, const float*, const float*, float*, std::ptrdiff_t);
template void activation_gradient(Activation, const double*, const double*, double*,
                                  std::ptrdiff_t);
template void activation_forward(Activation, const float*, float*, std::ptrdiff_t, const Team&);
template void activation_forward(Activation, const double*, double*, std::ptrdiff_t, const Team&);
template void activation_backward(Activation, const float*, const float*, float*, std::ptrdiff_t,
                                  const Team&);
template void activation_backward(Activation, const double*, const double*, double*, std::ptrdiff_t,
                                  const Team&);

}  // namespace heedful
