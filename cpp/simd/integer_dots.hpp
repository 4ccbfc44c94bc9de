// Dot products within 32-bit words, added in int32, exact modulo 2^32:
//   dot_int16        sum[lane] += Σ_i<2 a[lane][i] · b[lane][i]   of int16
//                    <true>: in one instruction, VNNI
//   dot_uint8_int8   sum[lane] += Σ_i<4 a[lane][i] · b[lane][i]   of uint8 (a) and int8 (b): VNNI
// No level guarantees VNNI, whose functions run only where has_vnni() returns true.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd/packet.hpp"
#include "simd/processor.hpp"
#include "simd/words.hpp"

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace heedful::simd {

// The same bits as signed integers.
typedef std::int32_t Integers __attribute__((vector_size(4 * lanes<float>)));

// Not −2^15 · −2^15 twice, which one instruction would wrap around.
inline Words dot_int16(const Words& a, const Words& b, const Words& sum) {
#if defined(__AVX512BW__)
  return sum + bits_as<Words>(_mm512_madd_epi16(bits_as<__m512i>(a), bits_as<__m512i>(b)));
#elif defined(__AVX2__)
  return sum + bits_as<Words>(_mm256_madd_epi16(bits_as<__m256i>(a), bits_as<__m256i>(b)));
#elif defined(__SSE2__)
  return sum + bits_as<Words>(_mm_madd_epi16(bits_as<__m128i>(a), bits_as<__m128i>(b)));
#else
  const auto low = [](const Words& words) { return bits_as<Integers>(words << 16) >> 16; };
  const auto high = [](const Words& words) { return bits_as<Integers>(words) >> 16; };
  return sum + bits_as<Words>(low(a) * low(b) + high(a) * high(b));
#endif
}

// Written out, because intrinsics need a target attribute on whatever they are inlined into.
#if defined(HEEDFUL_VNNI) && defined(__AVX512BW__)

inline constexpr bool compiled_vnni = true;
inline bool has_vnni() { return processor().has_avx512_vnni; }

inline Words dot_uint8_int8(const Words& a, const Words& b, Words sum) {
  __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}
inline Words dot_int16_vnni(const Words& a, const Words& b, Words sum) {
  __asm__("vpdpwssd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}

#elif defined(HEEDFUL_VNNI) && defined(__AVX2__)

inline constexpr bool compiled_vnni = true;
inline bool has_vnni() { return processor().has_avx_vnni; }

inline Words dot_uint8_int8(const Words& a, const Words& b, Words sum) {
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
  return sum;
}
inline Words dot_int16_vnni(const Words& a, const Words& b, Words sum) {
  __asm__("%{vex%} vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
  return sum;
}

#else

inline constexpr bool compiled_vnni = false;
inline bool has_vnni() { return false; }

inline Words dot_uint8_int8(const Words&, const Words&, const Words& sum) { return sum; }
inline Words dot_int16_vnni(const Words&, const Words&, const Words& sum) { return sum; }

#endif

template <bool Vnni>
inline Words dot_int16(const Words& a, const Words& b, const Words& sum) {
  if constexpr (Vnni) {
    return dot_int16_vnni(a, b, sum);
  } else {
    return dot_int16(a, b, sum);
  }
}

// Two int8 for each lane, widened to int16. g++ widens by intrinsics alone in one instruction.
inline Words load_int16(const std::int8_t* from) {
#if defined(__AVX512BW__)
  return bits_as<Words>(
      _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))));
#elif defined(__AVX2__)
  return bits_as<Words>(
      _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
#else
  typedef std::int8_t Bytes __attribute__((vector_size(2 * lanes<float>)));
  typedef std::int16_t Wide __attribute__((vector_size(4 * lanes<float>)));
  Bytes bytes;
  std::memcpy(&bytes, from, sizeof(bytes));
  return bits_as<Words>(__builtin_convertvector(bytes, Wide));
#endif
}

#ifndef __SSE2__
template <int first>
inline Words zip_int16(const Words& a, const Words& b) {
  std::int16_t from_a[2 * lanes<float>], from_b[2 * lanes<float>], zipped[2 * lanes<float>];
  store_words(from_a, a);
  store_words(from_b, b);
  for (int i = 0; i < 2 * lanes<float>; ++i) {
    zipped[i] = (i % 2 ? from_b : from_a)[i / 8 * 8 + first + i % 8 / 2];
  }
  return load_words(zipped);
}
#endif

// Elements of a and b by turns, within each 128 bits: of their first, and of their last four.
inline Words zip_int16_low(const Words& a, const Words& b) {
#if defined(__AVX512BW__)
  return bits_as<Words>(_mm512_unpacklo_epi16(bits_as<__m512i>(a), bits_as<__m512i>(b)));
#elif defined(__AVX2__)
  return bits_as<Words>(_mm256_unpacklo_epi16(bits_as<__m256i>(a), bits_as<__m256i>(b)));
#elif defined(__SSE2__)
  return bits_as<Words>(_mm_unpacklo_epi16(bits_as<__m128i>(a), bits_as<__m128i>(b)));
#else
  return zip_int16<0>(a, b);
#endif
}
inline Words zip_int16_high(const Words& a, const Words& b) {
#if defined(__AVX512BW__)
  return bits_as<Words>(_mm512_unpackhi_epi16(bits_as<__m512i>(a), bits_as<__m512i>(b)));
#elif defined(__AVX2__)
  return bits_as<Words>(_mm256_unpackhi_epi16(bits_as<__m256i>(a), bits_as<__m256i>(b)));
#elif defined(__SSE2__)
  return bits_as<Words>(_mm_unpackhi_epi16(bits_as<__m128i>(a), bits_as<__m128i>(b)));
#else
  return zip_int16<4>(a, b);
#endif
}

// Words of signed integers as float, and the inverse, for whole numbers.
inline Packet<float> to_float(const Words& integers) {
  typedef float Floats __attribute__((vector_size(4 * lanes<float>)));
  return bits_as<Packet<float>>(__builtin_convertvector(bits_as<Integers>(integers), Floats));
}
inline Words to_integers(const Packet<float>& numbers) {
  typedef float Floats __attribute__((vector_size(4 * lanes<float>)));
  return bits_as<Words>(__builtin_convertvector(bits_as<Floats>(numbers), Integers));
}

}  // namespace heedful::simd
