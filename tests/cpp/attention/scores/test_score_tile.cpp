// Scores as input of the softmax, a tile of a panel at a time, against their definition.
#include <cmath>
#include <limits>
#include <vector>

#include "attention/problem/minus_infinity.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/score_tile.hpp"
#include "check.hpp"
#include "dense.hpp"
#include "example.hpp"
#include "score_rules.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// A tile of the second item and the second key/value head, whose group is heads 2 and 3.
template <class T>
struct Computed {
  Panel<T> panel;
  std::vector<T> query_panel, scores, mask_buffer, slopes, maximum, rows;
  ScoreTile<T> tile;
  T natural;  // of the rule

  Computed(const Example& example, KeyRange keys, int first_row, int count) {
    const Problem& problem = example.problem;
    const Item& item = problem.items[1];
    fill_panel(panel, problem, item, 1, first_row, count);
    const ScoreRule<T> rule = score_rule<T>(problem);
    natural = rule.natural;
    const int lanes = panel.lanes();
    query_panel.resize(static_cast<std::size_t>(problem.depth * lanes));
    for (std::ptrdiff_t i = 0; i < problem.depth * lanes; ++i) {
      const std::ptrdiff_t lane = i % lanes;
      query_panel[static_cast<std::size_t>(i)] =
          rule.query_factor *
          static_cast<T>(example.query.get(1, panel.head[lane],
                                           item.query_begin + panel.query[lane], i / lanes));
    }
    scores.assign(static_cast<std::size_t>(keys.size() * lanes), T(-77));
    slopes.assign(scores.size(), T(-77));
    mask_buffer.resize(static_cast<std::size_t>(mask_tile_size<T>(keys.size())));
    for (int lane = 0; lane < lanes; ++lane)
      maximum.push_back(lane % 2 == 0 ? minus_infinity<T> : T(0.5));
    rows.resize(static_cast<std::size_t>(keys.size() * padded<T>(problem.depth)));
    TileRows<T> key_rows(example.key.view(), 1, 1, item.key_begin, keys, problem.depth,
                         InPlace::any_stride, rows.data());
    tile = score_tile(problem, 1, panel, keys, rule, query_panel.data(), key_rows,
                      ScoreBuffers<T>{scores.data(), mask_buffer.data(), maximum.data(),
                                      problem.softcap > 0 ? slopes.data() : nullptr});
  }
  std::size_t at(std::ptrdiff_t key, int lane) const {
    return static_cast<std::size_t>((key - tile.keys.begin) * panel.lanes() + lane);
  }
};

template <class T>
void scores_are_those_of_the_definition() {
  for (const Rules& rules : all_rules) {
    Example example = example_of<T>(rules);
    const Problem& problem = example.problem;
    for (const double scale : {0.7, -1.3, 0.0}) {
      example.problem.scale = scale;
      for (const KeyRange keys : {KeyRange{0, 21}, KeyRange{2, 3}, KeyRange{5, 17}}) {
        for (const int first_row : {0, 3, 9}) {
          const int count = std::min(7, Panel<T>::max_lanes);
          const Computed<T> computed(example, keys, first_row, count);
          const KeyRange left = computed.tile.keys;
          bool right = true, partial = false, maxima_right = true, derivatives_right = true;
          for (int lane = 0; lane < computed.panel.lanes(); ++lane) {
            T maximum = lane % 2 == 0 ? minus_infinity<T> : T(0.5);
            for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key) {
              long double slope = 1;
              const long double expected =
                  score_of(problem, example.query.view(), example.key.view(), 1,
                           computed.panel.head[lane], computed.panel.query[lane], key, &slope);
              if (key < left.begin || key >= left.end) {
                right &= std::isinf(expected);
                continue;
              }
              partial |= std::isinf(expected);
              const T actual = computed.scores[computed.at(key, lane)];
              right &= near(actual * computed.natural, expected);
              maximum = std::fmax(maximum, actual);
              if (problem.softcap > 0 && std::isfinite(expected)) {
                derivatives_right &= near(computed.slopes[computed.at(key, lane)], slope);
              }
            }
            maxima_right &= computed.maximum[static_cast<std::size_t>(lane)] == maximum;
          }
          const bool holds =
              check(right, "score · natural = cap(scale · query · key) − slope |p − j| + bias") &&
              check(maxima_right, "the maximum is updated with the scores of its lane") &&
              check(derivatives_right, "the derivative of the cap is 1 − tanh²") &&
              check(left.empty() || computed.tile.partial == partial,
                    "`partial` is true if some key is hidden from some lane");
          if (!holds) {
            std::printf("with %s, scale %g, keys %td to %td, from row %d\n", rules.name, scale,
                        keys.begin, keys.end, first_row);
          }
        }
      }
    }
  }
}

template <class T>
void exponents_belong_to_scores() {
  for (const Rules& rules : all_rules) {
    for (const double scale : {0.7, -1.3, 0.0, 1e-320, 1e-40, 1e30}) {
      Example example = example_of<T>(rules);
      example.problem.scale = scale;
      const ScoreRule<T> rule = score_rule<T>(example.problem);
      check(rule.exponent > 0 && rule.natural > 0,
            "−∞ stays −∞ in natural units and as an exponent");
      const double rounding =
          1e-6 * static_cast<double>(rule.exponent) + std::numeric_limits<T>::denorm_min();
      close(rule.exponent, log2_e * static_cast<double>(rule.natural), rounding,
            "2^(score · exponent) = e^(score · natural)");
    }
  }
}

template <class T>
void a_key_that_no_query_sees_is_left_out() {
  Example example = example_of<T>(all_rules[5]);  // causal
  const Computed<T> computed(example, {6, 21}, 0, 2);
  check(computed.tile.keys.empty(), "the first queries do not see later keys");
  check(computed.scores[0] == T(-77), "so nothing is computed");
}

template <class T>
void nan_in_a_hidden_key_stays_hidden() {
  Example example = example_of<T>(all_rules[4]);  // mask
  for (std::ptrdiff_t d = 0; d < 7; ++d) example.key.set(1, 1, 4 + 6, d, nan);
  const Computed<T> computed(example, {0, 21}, 0, std::min(7, Panel<T>::max_lanes));
  bool right = true;
  for (int lane = 0; lane < computed.panel.lanes(); ++lane) {
    for (std::ptrdiff_t key = computed.tile.keys.begin; key < computed.tile.keys.end; ++key) {
      const bool visible = is_visible(example.problem, 1, computed.panel.head[lane],
                                      computed.panel.query[lane], key);
      const T score = computed.scores[computed.at(key, lane)];
      right &= visible ? std::isnan(score) == (key == 6) : score == minus_infinity<T>;
    }
    right &= !std::isnan(computed.maximum[static_cast<std::size_t>(lane)]);
  }
  check(right,
        "a NaN key has score −∞ for lanes that do not see it, NaN for those that do, and is no "
        "maximum");
}

template <class T>
void keys_of_other_types_are_widened() {
  const Example example = example_of<T>(all_rules[8], ElementType::bfloat16);
  const Computed<T> computed(example, {0, 21}, 0, std::min(7, Panel<T>::max_lanes));
  bool right = true;
  for (int lane = 0; lane < computed.panel.lanes(); ++lane) {
    for (std::ptrdiff_t key = computed.tile.keys.begin; key < computed.tile.keys.end; ++key) {
      right &= near(computed.scores[computed.at(key, lane)] * computed.natural,
                    score_of(example.problem, example.query.view(), example.key.view(), 1,
                             computed.panel.head[lane], computed.panel.query[lane], key));
    }
  }
  check(right, "scores of bfloat16 keys");
}

template <class T>
void everything() {
  scores_are_those_of_the_definition<T>();
  exponents_belong_to_scores<T>();
  a_key_that_no_query_sees_is_left_out<T>();
  nan_in_a_hidden_key_stays_hidden<T>();
  keys_of_other_types_are_widened<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
