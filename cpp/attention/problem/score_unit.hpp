// Scales and caps at the ends of the range of T.
//
// A scale so large that scores would overflow is split: scores are kept in units of a power of two,
// and so are bias, slopes and sink, which are added to them.
//   score of the equation = score · natural        added to a score: addend · score_unit
#pragma once

#include <cmath>

#include "attention/problem/problem.hpp"

namespace heedful {

// Exponents of powers of two. Between small and large, a factor is used unchanged.
template <class T>
struct FactorRange;
template <>
struct FactorRange<float> {
  static constexpr int small = -60, min = -120, large = 60, headroom = 24;
};
template <>
struct FactorRange<double> {
  static constexpr int small = -500, min = -1000, large = 500, headroom = 200;
};

template <class T>
bool has_large_scale(const Problem& problem) {
  return problem.softcap == 0 && std::abs(problem.scale) >= std::ldexp(1.0, FactorRange<T>::large);
}

// At most 1.
template <class T>
double score_unit(const Problem& problem) {
  if (!has_large_scale<T>(problem)) return 1;
  return std::ldexp(1.0, FactorRange<T>::headroom - std::ilogb(problem.scale));
}

}  // namespace heedful
