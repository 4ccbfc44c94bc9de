// The normal distribution and tanh on packets: what GELU is made of.
//
//   |x| ≤ 1   erf x = x + x · P(x²)
//   1 < x     erfc x = e^(−x²) · Q(t) / (x + k)      t = (x − k) / (x + k)
//
// P and Q are the polynomials with the least greatest relative error: 1.2e-9 and 1.1e-8 for float
// (Q up to x = 10), 7.3e-18 and 1.3e-17 for double (Q up to x = 27), beyond which e^(−x²) is 0.
// tanh is x · R(x²) up to |x| = 5/8, off by 3.9e-9 and 9.6e-18, and 1 − 2 / (e^2x + 1) from there.
#pragma once

#include "simd/exp.hpp"
#include "simd/packet.hpp"
#include "simd/polynomial.hpp"

namespace heedful::simd {

template <class T>
struct ErfConstants;

template <>
struct ErfConstants<float> {
  static constexpr float middle = 2;  // k
  static constexpr float below[] = {0.1283791657295594f,    -0.37612625837465104f,
                                    0.11283585248605635f,   -0.026853814582072517f,
                                    0.0051883304825924878f, -0.00080102026992725068f,
                                    7.8538498284294089e-5f};
  static constexpr float above[] = {1.0215826952236566f,    -0.68716059539367765f,
                                    0.27947350136960336f,   -0.036448258314031718f,
                                    -0.021536775748246261f, 0.0065924326853881685f,
                                    0.0031488607543667518f, -0.0014536211220052389f};
  static constexpr float tanh[] = {0.99999999607547595f,  -0.3333326052844098f,
                                   0.13331127555628542f,  -0.053721068822816157f,
                                   0.020590989431937582f, -0.0056599891587629599f};
};
template <>
struct ErfConstants<double> {
  static constexpr double middle = 3;
  static constexpr double below[] = {
      0.12837916709551256568,     -0.376126389031835200248,     0.112837916709442003082,
      -0.0268661706431134137151,  0.00522397760613084216672,    -0.000854832592976624429752,
      0.000120552935869369499755, -0.0000149247124395348141081, 0.00000164471326997866210086,
      -1.62063187529692090037e-7, 1.37109887041905231184e-8,    -7.77946297176159689193e-10};
  static constexpr double above[] = {
      1.07400690708833970025,       -0.883394453169884079823,      0.590228357104103053328,
      -0.310467261900498703701,     0.119527761287150520713,       -0.0268272346274894481601,
      -0.00121241662115986933132,   0.00303406205923138789673,     -0.000548309818294896337949,
      -0.000276778418035389583409,  0.000107562920233095547813,    0.0000304011000252571958822,
      -0.0000174797897419965970859, -0.00000475582262473498044667, 0.00000279889935001948794235,
      9.96424425322258872463e-7,    -4.71505444356367496218e-7,    -1.95731959088301605382e-7,
      9.40876040513762559307e-8};
  static constexpr double tanh[] = {
      0.999999999999999990372,     -0.333333333333326214776,    0.133333333332460634885,
      -0.0539682539262678346025,   0.0218694874899805426221,    -0.00886322009946295796201,
      0.00359198310218572880871,   -0.00145493215487357285087,  0.000586239917217229020152,
      -0.000228426335817702195243, 0.0000770030063790347046624, -0.0000160095721597774689529};
};

namespace detail {

// erfc for x ≥ 1.
template <class T>
inline Packet<T> erfc_above(const Packet<T>& x) {
  using C = ErfConstants<T>;
  const Packet<T> bounded = minimum(x, broadcast(T(27)));  // of ∞, t would be NaN
  const Packet<T> inverse = divide(broadcast(T(1)), add(bounded, broadcast(C::middle)));
  const Packet<T> t = multiply(subtract(bounded, broadcast(C::middle)), inverse);
  const Packet<T> decay = simd::exp<T>(multiply(subtract(broadcast(T(0)), bounded), bounded));
  return multiply(decay, multiply(polynomial<T>(C::above, t), inverse));
}

}  // namespace detail

// Whether x is below 0, as a mask; −0 is not.
template <class T>
inline Packet<T> is_negative(const Packet<T>& x) {
  return less(x, broadcast(T(0)));
}

// The error function, within 2 ulp.
template <class T>
inline Packet<T> erf(const Packet<T>& x) {
  const Packet<T> size = absolute(x);
  const Packet<T> near = multiply_add(x, polynomial<T>(ErfConstants<T>::below, multiply(x, x)), x);
  const Packet<T> far = subtract(broadcast(T(1)), detail::erfc_above<T>(size));
  const Packet<T> signed_far = select(is_negative<T>(x), subtract(broadcast(T(0)), far), far);
  return select(less(broadcast(T(1)), size), signed_far, near);
}

// Φ(x) = (1 + erf(x / √2)) / 2, the share of a normal distribution below x. Small shares keep their
// relative precision, which 1 + erf would lose.
template <class T>
inline Packet<T> normal_share(const Packet<T>& x) {
  const Packet<T> scaled = multiply(x, broadcast(T(0.70710678118654752440)));
  const Packet<T> size = absolute(scaled);
  const Packet<T> half = broadcast(T(0.5));
  const Packet<T> start = multiply(half, scaled);
  const Packet<T> more = polynomial<T>(ErfConstants<T>::below, multiply(scaled, scaled));
  const Packet<T> near = add(multiply_add(start, more, start), half);
  const Packet<T> tail = multiply(half, detail::erfc_above<T>(size));
  const Packet<T> far = select(is_negative<T>(x), tail, subtract(broadcast(T(1)), tail));
  return select(less(broadcast(T(1)), size), far, near);
}

// 1 / (1 + e^−x).
template <class T>
inline Packet<T> sigmoid(const Packet<T>& x) {
  const Packet<T> one = broadcast(T(1));
  return divide(one, add(one, simd::exp<T>(subtract(broadcast(T(0)), x))));
}

// tanh of either type, within 2 ulp (packet.hpp has one for float that is faster, and less exact).
template <class T>
inline Packet<T> exact_tanh(const Packet<T>& x) {
  const Packet<T> one = broadcast(T(1));
  const Packet<T> size = absolute(x);
  const Packet<T> near = multiply(x, polynomial<T>(ErfConstants<T>::tanh, multiply(x, x)));
  const Packet<T> growth = simd::exp<T>(add(size, size));
  const Packet<T> far = subtract(one, divide(broadcast(T(2)), add(growth, one)));
  const Packet<T> signed_far = select(is_negative<T>(x), subtract(broadcast(T(0)), far), far);
  return select(less(broadcast(T(0.625)), size), signed_far, near);
}

}  // namespace heedful::simd
