// A comparison of two vectors as bits, for loops over the lanes where it holds: bit i is lane i's.
#pragma once

#include <cstdint>

#include "simd/packet.hpp"

#ifdef __SSE2__
#include <immintrin.h>
#endif

namespace heedful::simd {

using LaneMask = std::uint32_t;

// The lanes where a is above b, or either of them is NaN.
#if defined(__AVX512F__)
inline LaneMask above_or_nan(const Packet<float>& a, const Packet<float>& b) {
  return _mm512_cmp_ps_mask(a, b, _CMP_NLE_UQ);
}
inline LaneMask above_or_nan(const Packet<double>& a, const Packet<double>& b) {
  return _mm512_cmp_pd_mask(a, b, _CMP_NLE_UQ);
}
#elif defined(__AVX__)
inline LaneMask above_or_nan(const Packet<float>& a, const Packet<float>& b) {
  return static_cast<LaneMask>(_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_NLE_UQ)));
}
inline LaneMask above_or_nan(const Packet<double>& a, const Packet<double>& b) {
  return static_cast<LaneMask>(_mm256_movemask_pd(_mm256_cmp_pd(a, b, _CMP_NLE_UQ)));
}
#elif defined(__SSE2__)
inline LaneMask above_or_nan(const Packet<float>& a, const Packet<float>& b) {
  return static_cast<LaneMask>(_mm_movemask_ps(_mm_cmpnle_ps(a, b)));
}
inline LaneMask above_or_nan(const Packet<double>& a, const Packet<double>& b) {
  return static_cast<LaneMask>(_mm_movemask_pd(_mm_cmpnle_pd(a, b)));
}
#else
namespace detail {
template <class T>
LaneMask compare_lanes(const Packet<T>& a, const Packet<T>& b) {
  T x[lanes<T>], y[lanes<T>];
  store(x, a);
  store(y, b);
  LaneMask mask = 0;
  for (int i = 0; i < lanes<T>; ++i) mask |= static_cast<LaneMask>(!(x[i] <= y[i])) << i;
  return mask;
}
}  // namespace detail

inline LaneMask above_or_nan(const Packet<float>& a, const Packet<float>& b) {
  return detail::compare_lanes<float>(a, b);
}
inline LaneMask above_or_nan(const Packet<double>& a, const Packet<double>& b) {
  return detail::compare_lanes<double>(a, b);
}
#endif

}  // namespace heedful::simd
