// The 16-bit types, float16 (IEEE binary16) and bfloat16, widened to float and narrowed with
// rounding to nearest even: a vector at a time in place (load, store), or rows of any length.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "simd/packet.hpp"

#ifdef __AVX512BW__
#include <immintrin.h>
#endif

namespace heedful::simd {

// Storage types; arithmetic is done in float.
struct Float16 {
  std::uint16_t bits;
};
struct Bfloat16 {
  std::uint16_t bits;
};

typedef std::uint16_t HalfBits __attribute__((vector_size(2 * lanes<float>)));
typedef std::uint32_t FloatBits __attribute__((vector_size(4 * lanes<float>)));

// A vector of elements from memory, widened.
#ifdef __AVX512BW__
// In one instruction instead of two: each element above a zero, which comes from the empty half.
inline Packet<float> load(const Bfloat16* from) {
  const __m512i order =
      _mm512_set_epi16(15, 16, 14, 16, 13, 16, 12, 16, 11, 16, 10, 16, 9, 16, 8, 16, 7, 16, 6, 16,
                       5, 16, 4, 16, 3, 16, 2, 16, 1, 16, 0, 16);
  __m256i bits;
  std::memcpy(&bits, from, sizeof(bits));
  return bits_as<Packet<float>>(_mm512_permutexvar_epi16(order, _mm512_zextsi256_si512(bits)));
}
#else
inline Packet<float> load(const Bfloat16* from) {
  HalfBits bits;
  std::memcpy(&bits, from, sizeof(bits));
  return bits_as<Packet<float>>(__builtin_convertvector(bits, FloatBits) << 16);
}
#endif

inline void store(Bfloat16* to, const Packet<float>& values) {
  const auto bits = bits_as<FloatBits>(values);
  const FloatBits rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  const FloatBits quiet_nan = (bits >> 16) | 0x40u;
  const FloatBits is_nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
  const auto narrow = __builtin_convertvector((quiet_nan & is_nan) | (rounded & ~is_nan), HalfBits);
  std::memcpy(to, &narrow, sizeof(narrow));
}

// With F16C a vector at a time; elsewhere element by element, because there is no instruction.
#ifdef __F16C__
inline constexpr bool widens_float16 = true;

inline Packet<float> load(const Float16* from) {
  typedef typename Eigen::internal::packet_traits<Eigen::half>::type Halves;
  return Eigen::internal::half2float(
      Eigen::internal::ploadu<Halves>(reinterpret_cast<const Eigen::half*>(from)));
}

inline void store(Float16* to, const Packet<float>& values) {
  Eigen::internal::pstoreu(reinterpret_cast<Eigen::half*>(to), Eigen::internal::float2half(values));
}
#else
inline constexpr bool widens_float16 = false;

inline Packet<float> load(const Float16* from) {
  float values[lanes<float>];
  for (int i = 0; i < lanes<float>; ++i) {
    values[i] = Eigen::half_impl::half_to_float(Eigen::half_impl::raw_uint16_to_half(from[i].bits));
  }
  return load(values);
}

inline void store(Float16* to, const Packet<float>& values) {
  float wide[lanes<float>];
  store(wide, values);
  for (int i = 0; i < lanes<float>; ++i) {
    to[i].bits = Eigen::half_impl::float_to_half_rtne(wide[i]).x;
  }
}
#endif

// Rows of any length; the last vector overlaps the one before it.
template <class From, class To>
inline void convert_row(const From* from, To* to, std::ptrdiff_t count) {
  constexpr std::ptrdiff_t width = lanes<float>;
  if (count < width) {
    From padded[width] = {};
    To converted[width];
    std::copy_n(from, count, padded);
    store(converted, load(padded));
    std::copy_n(converted, count, to);
    return;
  }
  std::ptrdiff_t i = 0;
#pragma GCC unroll 4
  for (; i + width <= count; i += width) store(to + i, load(from + i));
  if (i < count) store(to + count - width, load(from + count - width));
}

inline void widen_bfloat16(const std::uint16_t* from, float* to, std::ptrdiff_t count) {
  convert_row(reinterpret_cast<const Bfloat16*>(from), to, count);
}
inline void narrow_bfloat16(const float* from, std::uint16_t* to, std::ptrdiff_t count) {
  convert_row(from, reinterpret_cast<Bfloat16*>(to), count);
}
inline void widen_float16(const std::uint16_t* from, float* to, std::ptrdiff_t count) {
  convert_row(reinterpret_cast<const Float16*>(from), to, count);
}
inline void narrow_float16(const float* from, std::uint16_t* to, std::ptrdiff_t count) {
  convert_row(from, reinterpret_cast<Float16*>(to), count);
}

}  // namespace heedful::simd
