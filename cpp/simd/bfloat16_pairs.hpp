// Pairs of bfloat16 in 32-bit words, and the instruction of AVX512-BF16 that multiplies them:
//   sum[lane] += even a[lane] · even b[lane] + odd a[lane] · odd b[lane]
// twice the multiplications of a fused multiply-add, summed in float. Subnormal numbers (below
// 2^−126) are flushed to zero, in the operands and in the result.
// The level v4 does not guarantee this instruction: functions that use it are marked with
// HEEDFUL_PAIRS_TARGET, and run only where has_bfloat16_pairs() returns true.
#pragma once

#include "simd/packet.hpp"
#include "simd/words.hpp"

#ifdef __AVX512BW__
#include <immintrin.h>
#define HEEDFUL_BFLOAT16_PAIRS 1
#define HEEDFUL_PAIRS_TARGET __attribute__((target("avx512bf16")))
#else
#define HEEDFUL_BFLOAT16_PAIRS 0
#endif

namespace heedful::simd {

// This module contains the code that multiplies pairs.
inline constexpr bool compiled_bfloat16_pairs = HEEDFUL_BFLOAT16_PAIRS == 1;

#if HEEDFUL_BFLOAT16_PAIRS

// ... and this processor runs it.
inline bool has_bfloat16_pairs() {
  __builtin_cpu_init();
  return __builtin_cpu_supports("avx512bf16") != 0;
}

HEEDFUL_PAIRS_TARGET inline Packet<float> dot_pairs(const Words& a, const Words& b,
                                                    const Packet<float>& sum) {
  return _mm512_dpbf16_ps(sum, bits_as<__m512bh>(a), bits_as<__m512bh>(b));
}

// Two rows of floats, rounded to nearest even and interleaved lane by lane.
HEEDFUL_PAIRS_TARGET inline Words paired(const Packet<float>& even, const Packet<float>& odd) {
  const auto halves = bits_as<__m512i>(_mm512_cvtne2ps_pbh(odd, even));
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return bits_as<Words>(_mm512_permutexvar_epi16(order, halves));
}

#else

inline bool has_bfloat16_pairs() { return false; }

#endif

}  // namespace heedful::simd
