// The keys visible to a query under causal, window and length.
#include "attention/problem/problem.hpp"
#include "check.hpp"
#include "visibility.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t far = std::ptrdiff_t{1} << 60;

struct Example {
  std::ptrdiff_t offset, left, right, query;
  KeyRange expected;  // of 7 keys
  const char* sentence;
};

constexpr Example examples[] = {
    {0, -1, -1, 3, {0, 7}, "without restrictions a query sees all keys"},
    {0, -1, 0, 0, {0, 1}, "causal: the first query sees the first key"},
    {0, -1, 0, 3, {0, 4}, "causal: a query sees its own key"},
    {0, -1, 0, 9, {0, 7}, "causal: a late query sees all keys"},
    {3, -1, 0, 0, {0, 4}, "causal with 3 keys before the first query"},
    {-3, -1, 0, 2, {0, 0}, "causal: a query before the first key sees none"},
    {-3, -1, 0, 3, {0, 1}, "causal: a query at the first key sees it"},
    {0, 2, -1, 3, {1, 7}, "a left window of 2"},
    {0, 2, 0, 3, {1, 4}, "a causal window of 2"},
    {0, 0, 0, 5, {5, 6}, "a window of 0 is the query's own key"},
    {0, 1, 1, 0, {0, 2}, "a window is cut off at the first key"},
    {0, 1, 1, 6, {5, 7}, "a window is cut off at the last key"},
    {4, -1, 2, 1, {0, 7}, "a window past the last key sees them all"},
};

void ranges_are_those_of_the_table() {
  for (const Example& example : examples) {
    Problem problem;
    problem.left = example.left;
    problem.right = example.right;
    const Item item{0, 10, 0, 7, example.offset};
    const KeyRange range = visible_keys(problem, item, example.query);
    check(range.begin == example.expected.begin && range.end == example.expected.end,
          example.sentence);
  }
}

void ranges_hold_exactly_the_visible_keys() {
  constexpr std::ptrdiff_t limits[] = {-1, 0, 1, 3, 100, far};
  constexpr std::ptrdiff_t offsets[] = {-far, -far + 5, -20, -3, -1, 0, 1, 4, 20, far - 5, far};
  bool right = true, inside = true;
  for (const std::ptrdiff_t left : limits) {
    for (const std::ptrdiff_t right_limit : limits) {
      for (const std::ptrdiff_t offset : offsets) {
        for (const std::ptrdiff_t keys : {0, 1, 7}) {
          Problem problem;
          problem.left = left;
          problem.right = right_limit;
          const Item item{0, 11, 0, keys, offset};
          for (std::ptrdiff_t query = 0; query < 11; ++query) {
            const KeyRange range = visible_keys(problem, item, query);
            inside &=
                range.begin >= 0 && range.begin <= keys && range.end >= 0 && range.end <= keys;
            for (std::ptrdiff_t key = 0; key < keys; ++key) {
              right &=
                  (key >= range.begin && key < range.end) == in_window(problem, item, query, key);
            }
          }
        }
      }
    }
  }
  check(right,
        "a key is in the range exactly when p − left ≤ j ≤ p + right, with offsets up to ±2^60");
  check(inside, "a range stays within the item's keys");
}

void ranges_have_a_size() {
  check(KeyRange{3, 3}.empty() && KeyRange{5, 2}.empty() && !KeyRange{2, 3}.empty(),
        "empty if the end is not after the begin");
  check(KeyRange{2, 7}.size() == 5, "the size is end − begin");
}

void groups_are_query_heads_per_key_head() {
  Problem problem;
  problem.num_heads = 12;
  problem.num_kv_heads = 4;
  check(problem.group() == 3, "12 query heads on 4 key heads: groups of 3");
}

void weights_are_rounded_for_equal_depths_and_dot_products() {
  Problem problem;
  problem.depth = problem.value_depth = 64;
  check(problem.may_round_weights(), "dot products of equal depths may round the weights");
  problem.value_depth = 32;
  check(!problem.may_round_weights(), "not if the depths differ");
  problem.value_depth = 64;
  problem.score_kind = ScoreKind::additive;
  check(!problem.may_round_weights(), "nor additive scores");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  ranges_are_those_of_the_table();
  ranges_hold_exactly_the_visible_keys();
  ranges_have_a_size();
  groups_are_query_heads_per_key_head();
  weights_are_rounded_for_equal_depths_and_dot_products();
  return summary();
}
