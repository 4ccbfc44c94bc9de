// e^x as a rounded value and its relative rounding error:
//   e^x = power · (1 + rest)      |rest| of about half an ulp, with a relative error of 0.1 or less
// The product of two such powers has nearly as accurate a distance from 1 as exp(x + y) − 1 would
// have, while the power alone loses an x far below its own ulp.
#pragma once

#include "simd/exp.hpp"
#include "simd/packet.hpp"
#include "simd/polynomial.hpp"

namespace heedful::simd {

template <class T>
struct ExpParts {
  Packet<T> power, rest;
};

template <class T>
struct ExpSeries;

// (e^r − 1 − r) / r² for |r| ≤ ln(2) / 2: the first omitted terms are 2e-10 and 1e-19 of e^r.
template <>
struct ExpSeries<float> {
  static constexpr float terms[] = {1.f / 2,   1.f / 6,    1.f / 24,   1.f / 120,
                                    1.f / 720, 1.f / 5040, 1.f / 40320};
};
template <>
struct ExpSeries<double> {
  static constexpr double terms[] = {
      1. / 2,         1. / 6,           1. / 24,          1. / 120,     1. / 720,
      1. / 5040,      1. / 40320,       1. / 362880,      1. / 3628800, 1. / 39916800,
      1. / 479001600, 1. / 6227020800., 1. / 87178291200.};
};

// For |x| ≤ 80; NaN stays NaN, and for larger |x| both are meaningless.
template <class T>
inline ExpParts<T> exp_parts(const Packet<T>& x) {
  using C = ExpConstants<T>;
  using C2 = Exp2Constants<T>;
  const Packet<T> one = broadcast(T(1));
  const Packet<T> shift = broadcast(C2::round + C2::bias);
  const Packet<T> shifted = add(multiply(x, broadcast(C::log2_e)), shift);
  const Packet<T> n = subtract(shifted, shift);
  const Packet<T> exact = multiply_add(n, broadcast(-C::ln2_high), x);
  const Packet<T> small = multiply(n, broadcast(C::ln2_low));
  const Packet<T> r = subtract(exact, small);
  const Packet<T> lost = subtract(subtract(exact, r), small);
  const Packet<T> curve = multiply(multiply(r, r), polynomial<T>(ExpSeries<T>::terms, r));
  const Packet<T> growth = add(r, curve);
  const Packet<T> sum = add(one, growth);
  // the larger operand of each sum comes first, so its rounding error is an exact difference
  // (Dekker)
  const Packet<T> below = add(add(subtract(one, sum), growth), add(subtract(r, growth), curve));
  typedef typename C2::Bits BitsPacket __attribute__((vector_size(sizeof(Packet<T>))));
  const BitsPacket bits = bits_as<BitsPacket>(shifted) << C2::mantissa_bits;
  return {multiply(sum, bits_as<Packet<T>>(bits)), add(divide(below, sum), lost)};
}

}  // namespace heedful::simd
