// 2^x on packets.
#pragma once

#include <cstdint>

#include "simd/packet.hpp"
#include "simd/polynomial.hpp"

#ifdef __AVX512DQ__
#include <immintrin.h>
#endif

namespace heedful::simd {

template <class T>
struct Exp2Constants;

// The coefficients of the minimax polynomial (relative error) for 2^f with |f| ≤ 1/2: an error of
// 1.9e-9 for degree 6, 3.1e-18 for degree 11.
template <>
struct Exp2Constants<float> {
  using Bits = std::int32_t;
  static constexpr int mantissa_bits = 23;
  static constexpr float bias = 127.0f;
  // 1.5 · 2^23: adding it leaves the nearest integer in the low bits
  static constexpr float round = 12582912.0f;
  static constexpr float coefficients[] = {1.0000000005541647956f,    0.69314720573719575134f,
                                           0.24022646890645520696f,   0.05550328777105324799f,
                                           0.0096184889563311816196f, 0.0013399931177239737967f,
                                           0.00015345812161311629759f};
};
template <>
struct Exp2Constants<double> {
  using Bits = std::int64_t;
  static constexpr int mantissa_bits = 52;
  static constexpr double bias = 1023.0;
  static constexpr double round = 6755399441055744.0;  // 1.5 · 2^52
  static constexpr double coefficients[] = {
      0.9999999999999999971,     0.69314718055994533046,   0.24022650695910156204,
      0.055504108664819921605,   0.0096181291075883352443, 0.0013333558146789921722,
      0.00015403530462514432062, 1.5252733489988525649e-5, 1.321543308967639918e-6,
      1.0178198021671930844e-7,  7.0741056135081427963e-9, 4.4352827069572771511e-10};
};

// 2^n · 2^fraction with |fraction| ≤ 1/2, where shifted = n + bias + round.
template <class T>
inline Packet<T> power_of_two(const Packet<T>& shifted, const Packet<T>& fraction) {
  using C = Exp2Constants<T>;
  const Packet<T> power = polynomial(C::coefficients, fraction);
  // the low bits of `shifted` hold n + bias: shifted into the exponent field they are 2^n
  typedef typename C::Bits BitsPacket __attribute__((vector_size(sizeof(Packet<T>))));
  const BitsPacket bits = bits_as<BitsPacket>(shifted) << C::mantissa_bits;
  return multiply(power, bits_as<Packet<T>>(bits));
}

#ifdef __AVX512DQ__

// x − the nearest integer; 0 for an infinity.
inline Packet<float> from_nearest(const Packet<float>& x) { return _mm512_reduce_ps(x, 0); }
inline Packet<double> from_nearest(const Packet<double>& x) { return _mm512_reduce_pd(x, 0); }

// power · 2^n, and 0 where x ≤ last_zero: results below the normal numbers would take forty times
// as long.
inline Packet<float> scaled(const Packet<float>& power, const Packet<float>& n,
                            const Packet<float>& x, float last_zero) {
  const __mmask16 positive = _mm512_cmp_ps_mask(x, broadcast(last_zero), _CMP_NLE_UQ);
  return _mm512_maskz_scalef_ps(positive, power, n);
}
inline Packet<double> scaled(const Packet<double>& power, const Packet<double>& n,
                             const Packet<double>& x, double last_zero) {
  const __mmask8 positive = _mm512_cmp_pd_mask(x, broadcast(last_zero), _CMP_NLE_UQ);
  return _mm512_maskz_scalef_pd(positive, power, n);
}

#endif

// 2^x within 2 ulp for 1/2 − bias < x ≤ bias + 1/2. Below, the result is exactly 0, so 2^−∞ = 0;
// from bias + 1 on it is ∞. NaN stays NaN, and integer powers are exact.
template <class T>
inline Packet<T> exp2(const Packet<T>& x) {
  using C = Exp2Constants<T>;
#ifdef __AVX512DQ__
  // in three quarters of the time of what follows, with the same bits but for odd half-integers
  const Packet<T> fraction = from_nearest(x);
  const Packet<T> power = polynomial(C::coefficients, fraction);
  return scaled(power, subtract(x, fraction), x, T(0.5) - C::bias);
#else
  // maximum() returns its first argument if that is NaN
  const Packet<T> clamped = minimum(maximum(x, broadcast(-C::bias)), broadcast(C::bias + 1));
  const Packet<T> shifted = add(clamped, broadcast(C::round + C::bias));
  const Packet<T> fraction = subtract(clamped, subtract(shifted, broadcast(C::round + C::bias)));
  return power_of_two<T>(shifted, fraction);
#endif
}

// 2^x of `count` vectors in place, x ≤ bias + 1 or NaN, with the same bits. The steps of one
// exponential wait for each other, and a processor that two programs share looks fewer instructions
// ahead: so each step is done for all vectors before the next.
template <class T, int count>
inline void exp2_together(Packet<T> (&x)[count]) {
#ifdef __AVX512DQ__
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) x[i] = exp2<T>(x[i]);
#else
  using C = Exp2Constants<T>;
  typedef typename C::Bits BitsPacket __attribute__((vector_size(sizeof(Packet<T>))));
  constexpr int degree = sizeof(C::coefficients) / sizeof(T) - 1;
  const Packet<T> shift = broadcast(C::round + C::bias);
  Packet<T> scales[count], powers[count];
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) x[i] = maximum(x[i], broadcast(-C::bias));
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) powers[i] = add(x[i], shift);
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) {
    scales[i] = bits_as<Packet<T>>(bits_as<BitsPacket>(powers[i]) << C::mantissa_bits);
  }
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) x[i] = subtract(x[i], subtract(powers[i], shift));
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) powers[i] = broadcast(C::coefficients[degree]);
#pragma GCC unroll 16
  for (int term = degree - 1; term >= 0; --term) {
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) {
      powers[i] = multiply_add(powers[i], x[i], broadcast(C::coefficients[term]));
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < count; ++i) x[i] = multiply(powers[i], scales[i]);
#endif
}

}  // namespace heedful::simd
