// Scores of a row, of a range of keys or of listed ones, against their definition.
#include <cstdio>
#include <vector>

#include "attention/scores/mask.hpp"
#include "attention/scores/score_tile.hpp"
#include "check.hpp"
#include "dense.hpp"
#include "example.hpp"
#include "score_rules.hpp"
#include "simd/packet.hpp"
#include "visibility.hpp"

namespace heedful {
namespace {

template <class T>
void rows_have_the_scores_of_tiles() {
  for (const Rules& rules : all_rules) {
    const Example example = example_of<T>(rules);
    const Problem& problem = example.problem;
    const ScoreRule<T> rule = score_rule<T>(problem);
    for (const KeyRange keys : {KeyRange{0, 21}, KeyRange{2, 3}, KeyRange{5, 17}}) {
      for (std::ptrdiff_t query = 0; query < problem.items[1].queries; ++query) {
        std::vector<T> scores(static_cast<std::size_t>(keys.size() + simd::lanes<T>), T(-77));
        for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key) {
          T product = 0;
          for (std::ptrdiff_t d = 0; d < problem.depth; ++d) {
            product += rule.query_factor * static_cast<T>(example.query.get(1, 3, 2 + query, d)) *
                       static_cast<T>(example.key.get(1, 1, 4 + key, d));
          }
          scores[static_cast<std::size_t>(key - keys.begin)] = product;
        }
        std::vector<T> values(static_cast<std::size_t>(keys.size()));
        bool any_hidden = false;
        const bool has_mask = problem.mask || problem.bias;
        if (has_mask) mask_row(problem, 1, 3, query, keys, values.data(), any_hidden);
        score_row(problem, 1, 3, query, keys, visible_keys(problem, problem.items[1], query), rule,
                  has_mask ? values.data() : nullptr, scores.data());
        bool right = true;
        for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key) {
          right &=
              near(scores[static_cast<std::size_t>(key - keys.begin)] * rule.natural,
                   score_of(problem, example.query.view(), example.key.view(), 1, 3, query, key));
        }
        if (!check(right, "a row of scores is that of the definition")) {
          std::printf("with %s\n", rules.name);
        }
      }
    }
  }
}

// Lists have the visible keys of a row; the derivative of the cap is that of its definition.
template <class T>
void listed_keys_have_the_scores_of_the_definition() {
  for (const Rules& rules : all_rules) {
    const Example example = example_of<T>(rules);
    const Problem& problem = example.problem;
    const ScoreRule<T> rule = score_rule<T>(problem);
    for (const std::ptrdiff_t query : {0, 3, 7}) {
      std::vector<KeyIndex> keys;
      std::vector<T> scores;
      for (std::ptrdiff_t key = 0; key < problem.items[1].keys; key += 1 + key % 3) {
        if (!is_visible(problem, 1, 3, query, key)) continue;
        T product = 0;
        for (std::ptrdiff_t d = 0; d < problem.depth; ++d) {
          product += rule.query_factor * static_cast<T>(example.query.get(1, 3, 2 + query, d)) *
                     static_cast<T>(example.key.get(1, 1, 4 + key, d));
        }
        keys.push_back(static_cast<KeyIndex>(key));
        scores.push_back(product);
      }
      const auto count = static_cast<std::ptrdiff_t>(keys.size());
      scores.resize(keys.size() + simd::lanes<T>);
      std::vector<T> derivative(scores.size());
      score_keys(problem, 1, 3, query, keys.data(), count, rule, scores.data(), derivative.data());
      bool right = true;
      for (std::size_t i = 0; i < keys.size(); ++i) {
        long double cap_derivative = 1;
        const long double score = score_of(problem, example.query.view(), example.key.view(), 1, 3,
                                           query, keys[i], &cap_derivative);
        right &= near(scores[i] * rule.natural, score);
        if (rule.caps()) right &= near(derivative[i], cap_derivative);
      }
      if (!check(right, "the scores of listed keys are those of the definition")) {
        std::printf("with %s\n", rules.name);
      }
    }
  }
}

template <class T>
void everything() {
  rows_have_the_scores_of_tiles<T>();
  listed_keys_have_the_scores_of_the_definition<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
