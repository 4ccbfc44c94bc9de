// Scales at the ends of the range: query_factor · natural is the scale, and both are normal
// numbers.
#include <cmath>
#include <limits>

#include "arrays/finite_cast.hpp"
#include "attention/problem/score_unit.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/scores/score_vector.hpp"
#include "check.hpp"
#include "example.hpp"

namespace heedful {
namespace {

template <class T>
void rules_have_the_scale(bool with_bias) {
  Example example({1, 1, 1, 3, 5, 2, 2}, element_type<T>);
  if (with_bias) example.add_bias(element_type<T>);
  const int lowest = sizeof(T) == sizeof(float) ? -149 : -1070;
  const int highest = std::numeric_limits<T>::max_exponent - 1;
  for (int power = lowest; power <= highest; power += 7) {
    for (const double sign : {1.0, -1.0}) {
      example.problem.scale = sign * 1.25 * std::ldexp(1.0, power);
      const ScoreRule<T> rule = score_rule<T>(example.problem);
      const double product =
          static_cast<double>(rule.query_factor) * static_cast<double>(rule.natural);
      const bool small = with_bias && power < std::numeric_limits<T>::min_exponent;
      close(product, example.problem.scale, std::abs(product) * (small ? 1.0 : 1e-6), "the scale");
      check(std::isfinite(rule.exponent) && rule.exponent > 0,
            "the exponent is finite and positive");
      check(std::abs(static_cast<double>(rule.unit * rule.natural) - 1) < 1e-6 || rule.unit == 1,
            "addends are in the unit of the scores");
      if (power < FactorRange<T>::large) check(rule.unit == 1, "usual scales have unit 1");
    }
  }
}

template <class T>
void finite_stays_finite() {
  const T largest = std::numeric_limits<T>::max();
  const double inf = std::numeric_limits<double>::infinity();
  check(finite_cast<T>(1e308) <= largest && finite_cast<T>(-1e308) >= -largest, "within the range");
  check(finite_cast<T>(0.5) == T(0.5), "a value within the range is unchanged");
  check(finite_cast<T>(-inf) == -static_cast<T>(inf), "−∞ is −∞");
  check(std::isnan(finite_cast<T>(std::nan(""))), "NaN is NaN");
}

template <class T>
void score_vectors_keep_scores_finite() {
  const T largest = std::numeric_limits<T>::max();
  const T usual[] = {1, -2, 3, 4}, huge[] = {1, 1, largest, -largest},
          infinite[] = {1, largest / T(0.5), 0, 0};
  check(score_vector_factor(usual, 2, 2) == 1, "usual score vectors are unchanged");
  const double factor = score_vector_factor(huge, 2, 2);
  check(factor < 0.5 && factor > 0.49, "Σ |score_vector| stays below the largest number");
  check(score_vector_factor(infinite, 2, 2) == 1, "an infinite one stays infinite");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  for (const bool with_bias : {false, true}) {
    rules_have_the_scale<float>(with_bias);
    rules_have_the_scale<double>(with_bias);
  }
  finite_stays_finite<float>();
  finite_stays_finite<double>();
  score_vectors_keep_scores_finite<float>();
  score_vectors_keep_scores_finite<double>();
  return summary();
}
