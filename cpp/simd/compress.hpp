// The selected elements of a vector, side by side.
#pragma once

#include <cstdint>

#include "simd/lane_mask.hpp"
#include "simd/packet.hpp"

namespace heedful::simd {

#if defined(__AVX512VL__)
// In a register first: storing compressed elements to memory is slow on some processors.
inline Packet<float> compress(const Packet<float>& values, LaneMask mask) {
  return _mm512_maskz_compress_ps(static_cast<__mmask16>(mask), values);
}
inline Packet<double> compress(const Packet<double>& values, LaneMask mask) {
  return _mm512_maskz_compress_pd(static_cast<__mmask8>(mask), values);
}
#endif

// Writes those of a vector of numbers, and of as many integers, whose bit in the mask is set. Up to
// a vector is written to each place. Returns their number.
template <class T>
inline std::ptrdiff_t compress_pairs(const Packet<T>& numbers, const std::int32_t* integers,
                                     LaneMask mask, T* to_numbers, std::int32_t* to_integers) {
#if defined(__AVX512VL__)
  if constexpr (lanes<T> == 16) {
    const __m512i words = _mm512_loadu_si512(integers);
    _mm512_storeu_si512(to_integers,
                        _mm512_maskz_compress_epi32(static_cast<__mmask16>(mask), words));
  } else {
    const __m256i words = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(integers));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to_integers),
                        _mm256_maskz_compress_epi32(static_cast<__mmask8>(mask), words));
  }
  store(to_numbers, compress(numbers, mask));
  return __builtin_popcount(mask);
#else
  if (mask == 0) return 0;
  T elements[lanes<T>];
  store(elements, numbers);
  std::ptrdiff_t count = 0;
#pragma GCC unroll 8
  for (int lane = 0; lane < lanes<T>; ++lane) {
    // no branch, which could not be predicted
    to_numbers[count] = elements[lane];
    to_integers[count] = integers[lane];
    count += mask >> lane & 1;
  }
  return count;
#endif
}

}  // namespace heedful::simd
