// Probabilities are recomputed from scores and lse of any magnitude.
#include <cmath>
#include <limits>

#include "attention/forward/probabilities/row_scale.hpp"
#include "check.hpp"
#include "dense.hpp"
#include "example.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t keys = 53;

// The probability of a score in natural units.
template <class T>
double probability_of(const Problem& problem, const RowScales<T>& scales, std::ptrdiff_t query,
                      double score) {
  const ScoreRule<T> rule = score_rule<T>(problem);
  const T distance = static_cast<T>(score) / rule.natural - scales.base(0, 1, query);
  return static_cast<double>(std::exp2(distance * rule.exponent) * scales.factor(0, 1, query));
}

template <class T>
Tensor lse_of(const Example& example, double more = 0) {
  Dense dense(example.problem, example.query.view(), example.key.view(), example.value.view());
  Tensor lse(element_type<T>, {1, 2, example.sizes.queries, 1});
  lse.for_each([&](auto item, auto head, auto row, auto) {
    lse.set(item, head, row, 0, static_cast<double>(dense.lse(item, head, row)) + more);
  });
  return lse;
}

template <class T>
RowScales<T> scales_of(const Example& example, const Tensor& lse) {
  return {example.problem, example.query.view(), example.key.view(), lse.view(), Team{2, nullptr}};
}

template <class T>
void probabilities_are_exponentials_of_score_minus_lse() {
  Example example({1, 2, 1, 7, keys, 5, 3}, element_type<T>);
  Dense dense(example.problem, example.query.view(), example.key.view(), example.value.view());
  for (const double more : {0.0, 2.0, -1.0}) {  // lse of more keys, or of fewer
    const Tensor lse = lse_of<T>(example, more);
    const RowScales<T> scales = scales_of<T>(example, lse);
    bool right = true;
    for (std::ptrdiff_t query = 0; query < 7; ++query) {
      for (std::ptrdiff_t key = 0; key < keys; ++key) {
        const double expected =
            static_cast<double>(dense.probabilities(0, 1, query, key)) * std::exp(-more);
        const double actual = probability_of(example.problem, scales, query,
                                             static_cast<double>(dense.scores(0, 1, query, key)));
        right &= std::abs(actual - expected) <=
                 100 * static_cast<double>(std::numeric_limits<T>::epsilon()) * expected;
      }
    }
    check(right, "probability = exp(score − lse)");
  }
}

template <class T>
void probabilities_of_scores_of_any_magnitude_sum_to_1() {
  for (int exponent = 2; exponent < std::numeric_limits<T>::max_exponent;
       exponent += exponent / 4 + 1) {
    for (const double sign : {1.0, -1.0}) {
      Example example({1, 2, 1, 7, keys, 0, 3},
                      element_type<T>);  // without depth, scores are biases
      const double score = sign * std::ldexp(1.0, exponent);
      example.add_bias(element_type<T>);
      example.bias.fill([&] { return score; });
      const Tensor lse = lse_of<T>(example);
      const RowScales<T> scales = scales_of<T>(example, lse);
      close(probability_of(example.problem, scales, 3, score) * keys, 1, 1e-3,
            "equal scores have equal probabilities");
    }
  }
}

template <class T>
void rows_without_visible_keys_have_probability_0() {
  Example example({1, 2, 1, 7, keys, 5, 3}, element_type<T>);
  example.add_mask();
  example.mask.fill([] { return 0.0; });
  const Tensor lse = lse_of<T>(example);
  const RowScales<T> scales = scales_of<T>(example, lse);
  check(probability_of(example.problem, scales, 3, 0.5) == 0,
        "the probability is 0 for a base of ∞");
}

template <class T>
void everything() {
  probabilities_are_exponentials_of_score_minus_lse<T>();
  probabilities_of_scores_of_any_magnitude_sum_to_1<T>();
  rows_without_visible_keys_have_probability_0<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
