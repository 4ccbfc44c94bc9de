// Dot products within 32-bit words, added in int32, exact modulo 2^32:
//   dot_int16        sum[lane] += Σ_i<2 a[lane][i] · b[lane][i]   of int16
//   dot_uint8_int8   sum[lane] += Σ_i<4 a[lane][i] · b[lane][i]   of uint8 (a) and int8 (b): VNNI
// No level guarantees VNNI: dot_uint8_int8 runs only where has_vnni() returns true.
#pragma once

#include <cstdint>

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

#elif defined(HEEDFUL_VNNI) && defined(__AVX2__)

inline constexpr bool compiled_vnni = true;
inline bool has_vnni() { return processor().has_avx_vnni; }

inline Words dot_uint8_int8(const Words& a, const Words& b, Words sum) {
  __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
  return sum;
}

#else

inline constexpr bool compiled_vnni = false;
inline bool has_vnni() { return false; }

inline Words dot_uint8_int8(const Words&, const Words&, const Words& sum) { return sum; }

#endif

}  // namespace heedful::simd
