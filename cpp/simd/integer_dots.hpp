// Dot products within 32-bit words, added in int32, exact modulo 2^32:
//   dot_int16        sum[lane] += Σ_i<2 a[lane][i] · b[lane][i]   of int16
//                    <true>: in one instruction, VNNI
//   dot_bytes        as dot_uint8_int8, without VNNI; see below
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

// Each lane has two int16 sums of two products, which saturate: they fit where the two elements of
// b that make up a sum add up to at most 128 in magnitude, as 128 · 255 < 2^15. Elements of
// opposite signs always do.
#if defined(__SSSE3__)

inline constexpr bool compiled_bytes = true;

inline Words dot_bytes(const Words& a, const Words& b, const Words& sum) {
#if defined(__AVX512BW__)
  const __m512i pairs = _mm512_maddubs_epi16(bits_as<__m512i>(a), bits_as<__m512i>(b));
  return sum + bits_as<Words>(_mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
#elif defined(__AVX2__)
  const __m256i pairs = _mm256_maddubs_epi16(bits_as<__m256i>(a), bits_as<__m256i>(b));
  return sum + bits_as<Words>(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
#else
  const __m128i pairs = _mm_maddubs_epi16(bits_as<__m128i>(a), bits_as<__m128i>(b));
  return sum + bits_as<Words>(_mm_madd_epi16(pairs, _mm_set1_epi16(1)));
#endif
}

// b[2i] + b[2i + 1] of int8, in int16.
inline Words add_pairs(const Words& b) {
#if defined(__AVX512BW__)
  return bits_as<Words>(_mm512_maddubs_epi16(_mm512_set1_epi8(1), bits_as<__m512i>(b)));
#elif defined(__AVX2__)
  return bits_as<Words>(_mm256_maddubs_epi16(_mm256_set1_epi8(1), bits_as<__m256i>(b)));
#else
  return bits_as<Words>(_mm_maddubs_epi16(_mm_set1_epi8(1), bits_as<__m128i>(b)));
#endif
}

// A bit for each word that is not 0.
inline unsigned nonzero_words(const Words& words) {
#if defined(__AVX512BW__)
  return _mm512_test_epi32_mask(bits_as<__m512i>(words), bits_as<__m512i>(words));
#elif defined(__AVX2__)
  const __m256i zero = _mm256_cmpeq_epi32(bits_as<__m256i>(words), _mm256_setzero_si256());
  return ~static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(zero))) & 0xffu;
#else
  const __m128i zero = _mm_cmpeq_epi32(bits_as<__m128i>(words), _mm_setzero_si128());
  return ~static_cast<unsigned>(_mm_movemask_ps(_mm_castsi128_ps(zero))) & 0xfu;
#endif
}

#else

inline constexpr bool compiled_bytes = false;
inline Words dot_bytes(const Words&, const Words&, const Words& sum) { return sum; }
inline Words add_pairs(const Words& b) { return b; }
inline unsigned nonzero_words(const Words&) { return 0; }

#endif

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
