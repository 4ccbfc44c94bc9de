// Mask and bias applied to the scores of a tile, against their definition.
#include <cmath>
#include <limits>
#include <vector>

#include "attention/problem/minus_infinity.hpp"
#include "attention/scores/score_mask.hpp"
#include "check.hpp"
#include "example.hpp"

namespace heedful {
namespace {

constexpr Layout layouts[] = {Layout::plain, Layout::spread, Layout::columns_out, Layout::reversed};
constexpr ElementType types[] = {ElementType::float32, ElementType::float64, ElementType::float16,
                                 ElementType::bfloat16};

template <class T>
T sum_of(const Problem& problem, const Panel<T>& panel, int lane, std::ptrdiff_t key, T score) {
  const std::ptrdiff_t head = panel.head[lane], query = panel.query[lane];
  if (problem.mask && element(problem.mask, 1, head, query, key) == 0) return minus_infinity<T>;
  if (!problem.bias) return score;
  const T bias = static_cast<T>(element(problem.bias, 1, head, query, key));
  return bias == minus_infinity<T> ? minus_infinity<T> : score + bias;
}

// A panel of `count` rows from `first`, in the group of heads 3 to 5 of the second item.
template <class T>
bool adds(Example& example, int first, int count, KeyRange keys, bool wants_maximum) {
  const Problem& problem = example.problem;
  Panel<T> panel;
  fill_panel(panel, problem, example.items[1], 1, first, std::min(count, Panel<T>::max_lanes));
  const int lanes = panel.lanes();
  std::vector<T> buffer(static_cast<std::size_t>(mask_tile_size<T>(keys.size())), T(-77));
  const MaskTile<T> tile = mask_tile(problem, 1, panel, keys, buffer.data());
  if (tile.keys.empty() || !tile.changes()) return true;

  const auto size = static_cast<std::size_t>(tile.keys.size() * lanes);
  std::vector<T> scores(size + simd::lanes<T>, T(-77)), expected = scores;
  std::vector<T> maximum(static_cast<std::size_t>(lanes)), expected_maximum;
  bool any_hidden = false;
  for (int lane = 0; lane < lanes; ++lane) {
    maximum[static_cast<std::size_t>(lane)] = lane % 3 == 0 ? T(1.5) : minus_infinity<T>;
  }
  expected_maximum = maximum;
  for (std::ptrdiff_t key = tile.keys.begin; key < tile.keys.end; ++key) {
    for (int lane = 0; lane < lanes; ++lane) {
      const auto at = static_cast<std::size_t>((key - tile.keys.begin) * lanes + lane);
      scores[at] = static_cast<T>(example.random.exact());
      expected[at] = sum_of(problem, panel, lane, key, scores[at]);
      T& lane_maximum = expected_maximum[static_cast<std::size_t>(lane)];
      lane_maximum = std::max(lane_maximum, expected[at]);
      if (expected[at] != minus_infinity<T>) continue;
      any_hidden = true;
      scores[at] = std::numeric_limits<T>::quiet_NaN();
    }
  }
  const bool reported =
      add_mask(problem, 1, panel, tile, scores.data(), wants_maximum ? maximum.data() : nullptr);
  return scores == expected && reported == any_hidden &&
         (!wants_maximum || maximum == expected_maximum);
}

template <class T>
void scores_get_biases_and_hidden_ones_are_minus_infinity() {
  for (const std::ptrdiff_t columns : {141, 144}) {  // 144: rows have the same alignment
    for (const Layout layout : layouts) {
      for (const ElementType type : types) {
        for (const int restrictions : {1, 2, 3}) {  // a mask, a bias, both
          for (const bool own_rows : {true, false}) {
            Example example({2, 6, 2, 17, columns, 1, 1}, element_type<T>);
            if (restrictions & 1) example.add_mask({true, true, own_rows, true}, layout);
            if (restrictions & 2) example.add_bias(type, {true, true, true, own_rows}, layout);
            bool right = true;
            for (const int count : {1, 20, 48}) {
              for (const int first : {0, 3}) {
                for (const KeyRange keys :
                     {KeyRange{0, columns}, KeyRange{3, 70}, KeyRange{9, 10}, KeyRange{5, 27}}) {
                  right &= adds<T>(example, first, count, keys, true);
                  right &= adds<T>(example, first, count, keys, false);
                }
              }
            }
            check(right, "score + bias, or −∞, and its maximum");
          }
        }
      }
    }
  }
}

// Squares without −∞ take a faster path; one with −∞ among them.
template <class T>
void one_minus_infinity_is_found() {
  for (const std::ptrdiff_t columns : {141, 144}) {
    for (const Layout layout : layouts) {
      Example example({2, 6, 2, 17, columns, 1, 1}, element_type<T>);
      example.add_bias(element_type<T>, {}, layout);
      example.bias.fill([&] { return example.random.exact(); });
      check(adds<T>(example, 0, 48, {3, columns}, true), "a bias without −∞");
      for (const std::ptrdiff_t key : {std::ptrdiff_t{3}, std::ptrdiff_t{77}, columns - 1}) {
        example.bias.set(1, 3, 1, key, minus_infinity<double>);
        check(adds<T>(example, 0, 48, {3, columns}, true), "with one −∞");
        example.bias.set(1, 3, 1, key, std::numeric_limits<T>::lowest());
        check(adds<T>(example, 0, 48, {3, columns}, true),
              "the lowest finite number hides nothing");
        example.bias.set(1, 3, 1, key, 0);
      }
    }
  }
}

// A NaN bias makes its own score NaN, and hides no key.
template <class T>
void nan_affects_its_own_score_alone() {
  Example example({2, 6, 2, 17, 64, 1, 1}, element_type<T>);
  example.add_bias(element_type<T>);
  example.bias.fill([] { return 1.0; });
  example.bias.set(1, 3, 2, 17, std::numeric_limits<double>::quiet_NaN());
  example.bias.set(1, 3, 3, 17, minus_infinity<double>);
  Panel<T> panel;
  fill_panel(panel, example.problem, example.items[1], 1, 0, std::min(17, Panel<T>::max_lanes));
  std::vector<T> buffer(static_cast<std::size_t>(mask_tile_size<T>(64)));
  const MaskTile<T> tile = mask_tile(example.problem, 1, panel, {0, 64}, buffer.data());
  std::vector<T> scores(static_cast<std::size_t>(64 * panel.lanes()), T{2});
  const bool any_hidden =
      add_mask(example.problem, 1, panel, tile, scores.data(), static_cast<T*>(nullptr));
  bool right = any_hidden;
  for (std::ptrdiff_t key = 0; key < 64; ++key) {
    for (int lane = 0; lane < panel.lanes(); ++lane) {
      const T score = scores[static_cast<std::size_t>(key * panel.lanes() + lane)];
      const bool there = key == 17 && panel.head[lane] == 3;
      if (there && panel.query[lane] == 2) {
        right &= std::isnan(score);
      } else {
        right &= score == (there && panel.query[lane] == 3 ? minus_infinity<T> : T{3});
      }
    }
  }
  check(right, "NaN and −∞ in one square");
}

template <class T>
void everything() {
  scores_get_biases_and_hidden_ones_are_minus_infinity<T>();
  one_minus_infinity_is_found<T>();
  nan_affects_its_own_score_alone<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
