// Eight-bit integers, widened to float a vector at a time.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd/half.hpp"
#include "simd/packet.hpp"

#ifdef __SSE4_1__
#include <immintrin.h>
#endif

namespace heedful::simd {

// A storage type; arithmetic is done in float.
struct Int8 {
  std::int8_t value;
};

// g++ widens by intrinsics alone in one instruction, to 32 bits, which a second one converts.
inline Packet<float> load(const Int8* from) {
#if defined(__AVX512F__)
  __m128i values;
  std::memcpy(&values, from, sizeof(values));
  return bits_as<Packet<float>>(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(values)));
#elif defined(__AVX2__)
  return bits_as<Packet<float>>(_mm256_cvtepi32_ps(
      _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)))));
#elif defined(__SSE4_1__)
  std::int32_t values;
  std::memcpy(&values, from, sizeof(values));
  return bits_as<Packet<float>>(_mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(values))));
#else
  typedef std::int8_t Values __attribute__((vector_size(lanes<float>)));
  typedef float Floats __attribute__((vector_size(4 * lanes<float>)));
  Values values;
  std::memcpy(&values, from, sizeof(values));
  return bits_as<Packet<float>>(__builtin_convertvector(values, Floats));
#endif
}

}  // namespace heedful::simd
