// tanh and sigmoid on packets.
//   |x| ≤ 5/8   tanh x = x · R(x²)      R: the minimax polynomial, with a relative error of
//   |x| > 5/8   1 − 2 / (e^2x + 1)         3.9e-9 for float, 9.6e-18 for double
#pragma once

#include "simd/exp.hpp"
#include "simd/packet.hpp"
#include "simd/polynomial.hpp"

namespace heedful::simd {

template <class T>
struct TanhConstants;

template <>
struct TanhConstants<float> {
  static constexpr float tanh[] = {0.99999999607547595f,  -0.3333326052844098f,
                                   0.13331127555628542f,  -0.053721068822816157f,
                                   0.020590989431937582f, -0.0056599891587629599f};
};
template <>
struct TanhConstants<double> {
  static constexpr double tanh[] = {
      0.999999999999999990372,     -0.333333333333326214776,    0.133333333332460634885,
      -0.0539682539262678346025,   0.0218694874899805426221,    -0.00886322009946295796201,
      0.00359198310218572880871,   -0.00145493215487357285087,  0.000586239917217229020152,
      -0.000228426335817702195243, 0.0000770030063790347046624, -0.0000160095721597774689529};
};

// Whether x is below 0, as a mask; −0 is not.
template <class T>
inline Packet<T> is_negative(const Packet<T>& x) {
  return less(x, broadcast(T(0)));
}

// 1 / (1 + e^−x).
template <class T>
inline Packet<T> sigmoid(const Packet<T>& x) {
  const Packet<T> one = broadcast(T(1));
  return divide(one, add(one, simd::exp<T>(subtract(broadcast(T(0)), x))));
}

// tanh of either type, within 2 ulp (that of packet.hpp is faster and less accurate for float).
template <class T>
inline Packet<T> exact_tanh(const Packet<T>& x) {
  const Packet<T> one = broadcast(T(1));
  const Packet<T> magnitude = absolute(x);
  const Packet<T> near = multiply(x, polynomial<T>(TanhConstants<T>::tanh, multiply(x, x)));
  const Packet<T> growth = simd::exp<T>(add(magnitude, magnitude));
  const Packet<T> far = subtract(one, divide(broadcast(T(2)), add(growth, one)));
  const Packet<T> signed_far = select(is_negative<T>(x), subtract(broadcast(T(0)), far), far);
  return select(less(broadcast(T(0.625)), magnitude), signed_far, near);
}

}  // namespace heedful::simd
