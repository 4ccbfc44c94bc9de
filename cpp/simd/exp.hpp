// e^x on packets, with the relative error of 2^x: the range reduction keeps the bits that
// exp2(x · log2 e) would lose where x is large.
//   e^x = 2^n · 2^(r log2 e)     n = nearest integer to x log2 e     r = x − n ln 2
#pragma once

#include "simd/exp2.hpp"
#include "simd/packet.hpp"

namespace heedful::simd {

template <class T>
struct ExpConstants;

// ln 2 as a sum of two: n · ln2_high is exact for every n that occurs, because ln2_high has few
// bits (Cody and Waite).
template <>
struct ExpConstants<float> {
  static constexpr float log2_e = 1.4426950408889634f;
  static constexpr float ln2_high = 0.693359375f;
  static constexpr float ln2_low = -2.1219444005469058e-4f;
};
template <>
struct ExpConstants<double> {
  static constexpr double log2_e = 1.4426950408889634074;
  static constexpr double ln2_high = 0.693145751953125;
  static constexpr double ln2_low = 1.4286068203094172321e-6;
};

// e^x within 2 ulp where it is a normal number; 0 below, ∞ above, NaN stays NaN.
template <class T>
inline Packet<T> exp(const Packet<T>& x) {
  using C = ExpConstants<T>;
  using C2 = Exp2Constants<T>;
  // maximum() returns its first argument if that is NaN
  const Packet<T> power = minimum(maximum(multiply(x, broadcast(C::log2_e)), broadcast(-C2::bias)),
                                  broadcast(C2::bias + 1));
  const Packet<T> shifted = add(power, broadcast(C2::round + C2::bias));
  const Packet<T> n = subtract(shifted, broadcast(C2::round + C2::bias));
  Packet<T> remainder = multiply_add(n, broadcast(-C::ln2_high), x);
  remainder = multiply_add(n, broadcast(-C::ln2_low), remainder);
  // where x was clamped the remainder is meaningless, and may be infinite: any number in range will
  // do
  remainder = minimum(maximum(multiply(remainder, broadcast(C::log2_e)), broadcast(T(-1))),
                      broadcast(T(1)));
  return power_of_two<T>(shifted, remainder);
}

}  // namespace heedful::simd
