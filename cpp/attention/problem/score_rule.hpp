// How a score is computed from a dot product, in the compute type. Scales and caps at the ends of
// the range of T are split, see score_unit.hpp.
#pragma once

#include <limits>

#include "attention/problem/problem.hpp"

namespace heedful {

inline constexpr double log2_e = 1.4426950408889634074;

template <class T>
struct ScoreRule {
  T query_factor;  // folded into the query panel
  T cap;           // softcap; 0: none
  T natural;       // score · natural = the score in natural units
  T exponent;      // 2^(score · exponent) = e^(score · natural); > 0, so that −∞ stays −∞
  double product_factor = 0;  // not 0: scores are capped in double, from product · product_factor
  T unit = 1;                 // unit of what is added to a score
  T slope_limit = std::numeric_limits<T>::max();  // slope · distance stays finite
  const double* alphas = nullptr;                 // the Problem's

  bool caps() const { return cap > 0 || product_factor != 0; }
};

template <class T>
ScoreRule<T> score_rule(const Problem& problem);

}  // namespace heedful
