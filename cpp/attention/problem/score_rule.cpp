#include "attention/problem/score_rule.hpp"

#include <algorithm>
#include <cmath>

#include "arrays/finite_cast.hpp"
#include "attention/problem/score_unit.hpp"

namespace heedful {
namespace {

// The largest slope whose product with every distance of the call stays finite.
template <class T>
T slope_limit(const Problem& problem) {
  double max_distance = 1;
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    const Item& item = problem.items[i];
    const auto offset = static_cast<double>(item.offset);
    max_distance = std::max({max_distance, std::abs(offset + static_cast<double>(item.queries)),
                             std::abs(offset - static_cast<double>(item.keys))});
  }
  return static_cast<T>(0.99 * static_cast<double>(std::numeric_limits<T>::max()) / max_distance);
}

// softcap · tanh(scale · product / softcap): scale / softcap is folded into the query, unless one
// of them is near an end of the range.
template <class T>
ScoreRule<T> capped_rule(const Problem& problem) {
  using R = FactorRange<T>;
  const auto within_range = [](double value) {
    const double magnitude = std::abs(value);
    return std::ldexp(1.0, R::small) <= magnitude && magnitude <= std::ldexp(1.0, R::large);
  };
  const double quotient = problem.scale / problem.softcap;
  const T cap = finite_cast<T>(problem.softcap);
  if (problem.scale == 0 ||
      (within_range(problem.softcap) && within_range(problem.scale) && within_range(quotient))) {
    return {static_cast<T>(quotient), cap, T{1}, T(log2_e)};
  }
  int power = 0;
  const double mantissa = std::frexp(problem.scale, &power);
  int folded = power;  // folded into the query
  if (power < R::small) folded = std::max(power - R::small, R::min);
  if (power > R::large) folded = R::headroom;
  return {static_cast<T>(std::ldexp(mantissa, folded)), cap, T{1}, T(log2_e),
          std::ldexp(1.0, power - folded)};
}

// The scale is applied in the exponential, or is too large for scores in units of 1.
template <class T>
ScoreRule<T> uncapped_rule(const Problem& problem) {
  using R = FactorRange<T>;
  if (has_large_scale<T>(problem)) {
    const double unit = score_unit<T>(problem);
    return {static_cast<T>(problem.scale * unit), T{0}, static_cast<T>(1 / unit),
            static_cast<T>(log2_e / unit),        0,    static_cast<T>(unit)};
  }
  const double magnitude = std::abs(problem.scale);
  const bool adds =
      problem.alibi_slopes || problem.bias || problem.sink || problem.gumbel_temperature > 0;
  if (adds || magnitude == 0) return {static_cast<T>(problem.scale), T{0}, T{1}, T(log2_e)};
  const int power = std::ilogb(magnitude);
  const double folded =
      power < R::small ? std::ldexp(1.0, std::max(power - R::small, R::min)) : 1.0;
  const double natural =
      std::max(magnitude / folded, static_cast<double>(std::numeric_limits<T>::min()));
  return {static_cast<T>(problem.scale < 0 ? -folded : folded), T{0}, static_cast<T>(natural),
          static_cast<T>(natural * log2_e)};
}

}  // namespace

template <class T>
ScoreRule<T> score_rule(const Problem& problem) {
  ScoreRule<T> rule = problem.softcap > 0 ? capped_rule<T>(problem) : uncapped_rule<T>(problem);
  if (problem.gumbel_temperature > 0) {
    // the exponent is larger than it, and must be finite, too
    const double natural = static_cast<double>(rule.natural) / problem.gumbel_temperature;
    using Limits = std::numeric_limits<T>;
    rule.natural = static_cast<T>(std::clamp<double>(natural, Limits::min(), Limits::max() / 2));
    rule.exponent = rule.natural * T(log2_e);
  }
  if (problem.alibi_slopes) rule.slope_limit = slope_limit<T>(problem);
  rule.alphas = problem.alphas;
  return rule;
}

template ScoreRule<float> score_rule(const Problem&);
template ScoreRule<double> score_rule(const Problem&);

}  // namespace heedful
