// −ln x on packets, for x in the range of normal numbers.
//   −ln x = −ln(1 − h) − k ln 2     x = 2^k (1 − h)     1 − √2 < h ≤ 1 − √½
//   −ln(1 − h) = h + h² R(h)        R: Chebyshev interpolation of 1/2 + h/3 + h²/4 + …
// The relative error of −ln(1 − h) is 8.4e-9 for float and 2.6e-18 for double before rounding.
#pragma once

#include <cstdint>

#include "simd/packet.hpp"
#include "simd/polynomial.hpp"

namespace heedful::simd {

template <class T>
struct LogConstants;

template <>
struct LogConstants<float> {
  using Bits = std::int32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr float sqrt_half = 0.70710678f;
  static constexpr float ln_2 = 0.69314718055994531f;
  static constexpr float rest[] = {
      0.49999997649770979f, 0.33333330028354797f, 0.25000781239812696f,
      0.20001234461093455f, 0.16626645629127463f, 0.14204855952571014f,
      0.13127555651287652f, 0.12722672788010962f, 0.076736415016740257f};
};
template <>
struct LogConstants<double> {
  using Bits = std::int64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr double sqrt_half = 0.70710678118654752440;
  static constexpr double ln_2 = 0.69314718055994530942;
  static constexpr double rest[] = {
      0.500000000000000003369,  0.33333333333333372737,   0.249999999999994351575,
      0.199999999999755347525,  0.166666666668091529727,  0.142857142902263932953,
      0.124999999882296315826,  0.111111107299634404244,  0.100000002936480504765,
      0.0909092651952923567899, 0.0833334185960512151019, 0.0769184625149512163168,
      0.0714217814493136617473, 0.0667374643516546169596, 0.0626687114102891284824,
      0.0582507023864630242133, 0.053492389973253424093,  0.0540813817530036125193,
      0.0620749603879395185259, 0.0564781407353877646662, 0.0243261749182144095887};
};

// k and h of x.
template <class T>
struct LogParts {
  using C = LogConstants<T>;
  typedef typename C::Bits BitsPacket __attribute__((vector_size(sizeof(Packet<T>))));
  typedef T Floats __attribute__((vector_size(sizeof(Packet<T>))));

  Packet<T> k, h;

  explicit LogParts(const Packet<T>& x) {
    // relative to √½, so that a power of two begins there
    const BitsPacket origin = bits_as<BitsPacket>(broadcast(C::sqrt_half));
    const BitsPacket bits = bits_as<BitsPacket>(x) - origin;
    const BitsPacket mantissa = (bits & ((typename C::Bits{1} << C::mantissa_bits) - 1)) + origin;
    k = bits_as<Packet<T>>(__builtin_convertvector(bits >> C::mantissa_bits, Floats));
    h = subtract(broadcast(T{1}), bits_as<Packet<T>>(mantissa));
  }
};

template <class T>
inline Packet<T> minus_log(const LogParts<T>& x) {
  using C = LogConstants<T>;
  const Packet<T> rest = polynomial(C::rest, x.h);
  const Packet<T> of_mantissa = multiply_add(multiply(x.h, x.h), rest, x.h);
  return multiply_add(x.k, broadcast(-C::ln_2), of_mantissa);
}

}  // namespace heedful::simd
