// Dropout: tiles, rows, lists of keys and single elements agree on which weights are kept, for any
// range of keys.
#include <cmath>
#include <vector>

#include "attention/softmax/dropout.hpp"
#include "check.hpp"
#include "philox_words.hpp"

namespace heedful {
namespace {

Problem problem_of(double p, std::uint64_t seed, const Item& item) {
  Problem problem;
  problem.num_items = 1;
  problem.num_heads = problem.num_kv_heads = 3;
  problem.items = &item;
  problem.dropout_p = p;
  problem.seed = seed;
  return problem;
}

constexpr KeyRange ranges[] = {{0, 4},  {0, 1},    {1, 4}, {3, 5},   {5, 6},
                               {2, 71}, {63, 130}, {0, 0}, {40, 107}};

template <class T>
T weight_of(std::ptrdiff_t key, std::ptrdiff_t lane) {
  return T(1) + T(key) / 8 + T(lane) / 1024;
}

template <class T>
void tiles_follow_the_counters() {
  const Item item{0, 1000, 0, 130, 0};
  for (const double p : {0.1, 0.5, 0.9}) {
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{0x123456789ABCDEF0}}) {
      const Problem problem = problem_of(p, seed, item);
      for (int vectors = 1; vectors <= max_vectors; ++vectors) {
        Panel<T> panel;
        const int count = vectors * simd::lanes<T> - 1;
        for (int lane = 0; lane < count; ++lane) {
          set_lane(panel, lane, problem, item, lane % 3, 7 * lane);
        }
        finish_panel(panel, problem, item, count);
        const int lanes = panel.lanes();
        for (const KeyRange keys : ranges) {
          std::vector<T> weights(static_cast<std::size_t>(keys.size() * lanes + 1), T(-77));
          for (std::ptrdiff_t i = 0; i < keys.size() * lanes; ++i) {
            weights[static_cast<std::size_t>(i)] = weight_of<T>(keys.begin + i / lanes, i % lanes);
          }
          apply_dropout(problem, 5, panel, keys, T(1.5), weights.data());
          bool right = weights.back() == T(-77);
          for (std::ptrdiff_t i = 0; i < keys.size() * lanes; ++i) {
            const std::ptrdiff_t key = keys.begin + i / lanes, lane = i % lanes;
            const bool kept = keeps(p, seed, 5, panel.head[lane], panel.query[lane], key);
            right &= weights[static_cast<std::size_t>(i)] ==
                     (kept ? weight_of<T>(key, lane) * T(1.5) : T{0});
          }
          check(right,
                "weights[key][lane] is kept according to counter (key / 4, query, head, item)");
        }
      }
    }
  }
}

template <class T>
void rows_follow_the_counters() {
  const Item item{0, 1000, 0, 130, 0};
  const Problem problem = problem_of(0.3, 99, item);
  for (const KeyRange keys : ranges) {
    std::vector<T> weights(static_cast<std::size_t>(keys.size() + 1), T(-77));
    for (std::ptrdiff_t i = 0; i < keys.size(); ++i) {
      weights[static_cast<std::size_t>(i)] = weight_of<T>(keys.begin + i, 0);
    }
    apply_dropout_row(problem, 5, 2, 941, keys, T(2), weights.data());
    bool right = weights.back() == T(-77);
    for (std::ptrdiff_t i = 0; i < keys.size(); ++i) {
      const bool kept = keeps(0.3, 99, 5, 2, 941, keys.begin + i);
      right &= weights[static_cast<std::size_t>(i)] ==
               (kept ? weight_of<T>(keys.begin + i, 0) * 2 : T{0});
    }
    check(right, "weights[key] is kept as in a tile");
  }
}

template <class T>
void lists_follow_the_counters() {
  const Item item{0, 1000, 0, 130, 0};
  const Problem problem = problem_of(0.3, 99, item);
  for (const std::ptrdiff_t count : {0, 1, 7, 16, 17, 40}) {
    std::vector<KeyIndex> keys;
    std::vector<T> weights;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      keys.push_back(static_cast<KeyIndex>(i * 3 + i % 5));
      weights.push_back(weight_of<T>(keys.back(), 0));
    }
    weights.push_back(T(-77));
    apply_dropout_keys(problem, 5, 2, 941, keys.data(), count, T(2), weights.data());
    bool right = weights.back() == T(-77);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const bool kept = keeps(0.3, 99, 5, 2, 941, keys[i]);
      right &= weights[i] == (kept ? weight_of<T>(keys[i], 0) * 2 : T{0});
    }
    check(right, "the weights of listed keys are kept as in a row");
  }
}

template <class T>
void probabilities_at_the_ends() {
  const Item item{0, 1, 0, 1000, 0};
  const auto kept_of = [&](double p) {
    const Problem problem = problem_of(p, 7, item);
    std::vector<T> weights(1000, T{1});
    apply_dropout_row(problem, 0, 0, 0, {0, 1000}, T(1), weights.data());
    int kept = 0;
    for (const T weight : weights) kept += weight != 0;
    return kept;
  };
  check(kept_of(0) == 1000, "p = 0 keeps everything");
  check(kept_of(1) == 0, "p = 1 keeps nothing");
  check(std::abs(kept_of(0.25) - 750) < 60, "p = 0.25 keeps about three of four");
}

template <class T>
void dropped_nan_is_zero() {
  const Item item{0, 1, 0, 1000, 0};
  const Problem problem = problem_of(0.5, 7, item);
  std::vector<T> weights(1000, std::numeric_limits<T>::quiet_NaN());
  apply_dropout_row(problem, 0, 0, 0, {0, 1000}, T(1), weights.data());
  bool right = true;
  for (std::ptrdiff_t key = 0; key < 1000; ++key) {
    const T weight = weights[static_cast<std::size_t>(key)];
    right &= keeps(0.5, 7, 0, 0, 0, key) ? std::isnan(weight) : weight == 0;
  }
  check(right, "dropped weights are 0, kept weights unchanged");
}

void kept_weights_are_scaled() {
  Problem problem;
  problem.dropout_p = 0.75;
  check(dropout_factor(problem) == 4, "kept weights are scaled by 1 / (1 − p)");
  problem.dropout_p = 1;
  check(dropout_factor(problem) == 0, "p = 1 does not divide by 0");
}

template <class T>
void everything() {
  tiles_follow_the_counters<T>();
  rows_follow_the_counters<T>();
  lists_follow_the_counters<T>();
  probabilities_at_the_ends<T>();
  dropped_nan_is_zero<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::kept_weights_are_scaled();
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
