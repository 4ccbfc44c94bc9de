// The thresholds of entmax, against bisection in long double, and the weights that follow from
// them.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "arrays/work_area.hpp"
#include "attention/forward/entmax/thresholds.hpp"
#include "attention/forward/entmax/weights.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "check.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

// Of scores relative to their maximum.
long double bisected(const std::vector<long double>& scores, double alpha) {
  long double low = -1, high = 0;
  for (int step = 0; step < 80; ++step) {
    const long double middle = (low + high) / 2;
    long double sum = 0;
    for (const long double score : scores) {
      const long double excess = (static_cast<long double>(alpha) - 1) * score - middle;
      if (excess <= 0) continue;
      sum += alpha == 1.5 ? excess * excess
                          : std::pow(excess, 1 / (static_cast<long double>(alpha) - 1));
    }
    (sum >= 1 ? low : high) = middle;
  }
  return low;
}

// `offset`: of all scores; `spread`: 0 for equal ones. One lane has no visible key, one has NaN.
template <class T>
void test(double alpha, int lanes, std::ptrdiff_t keys, T offset, T spread) {
  constexpr double epsilon = std::numeric_limits<T>::epsilon();
  constexpr std::ptrdiff_t max_lanes = Panel<T>::max_lanes;
  RandomNumbers random(static_cast<std::uint64_t>(keys * 100 + lanes));
  const int width = simd::lanes<T>;
  Panel<T> panel;
  panel.count = lanes;
  panel.vectors = (lanes + width - 1) / width;
  for (std::ptrdiff_t& head : panel.head) head = 0;
  const int padded = panel.lanes(), empty = lanes - 1, spoilt = lanes > 2 ? 1 : max_lanes;
  std::vector<T> scores(static_cast<std::size_t>(keys * padded));
  std::vector<T> maximum(static_cast<std::size_t>(padded), minus_infinity<T>);
  const auto at = [&](std::ptrdiff_t key, int lane) -> T& {
    return scores[static_cast<std::size_t>(key * padded + lane)];
  };
  for (std::ptrdiff_t key = 0; key < keys; ++key) {
    for (int lane = 0; lane < padded; ++lane) {
      const bool hidden = lane == empty || (lane % 3 == 2 && key % 5 == 3);
      at(key, lane) =
          hidden ? minus_infinity<T> : offset + spread * static_cast<T>(random.between(-2, 2));
      T& most = maximum[static_cast<std::size_t>(lane)];
      most = std::max(most, at(key, lane));
    }
  }
  if (spoilt < padded) at(keys / 2, spoilt) = std::numeric_limits<T>::quiet_NaN();

  Problem problem;
  problem.alphas = &alpha;
  ScoreRule<T> rule{};
  rule.natural = T(0.5);
  std::vector<std::byte> memory(1 << 16);
  std::byte* const begin =
      memory.data() + 64 - reinterpret_cast<std::uintptr_t>(memory.data()) % 64;
  WorkArea area(begin);
  const Thresholds<T> thresholds(area);
  find_thresholds(problem, rule, panel, scores.data(), keys, maximum.data(), thresholds);

  for (int lane = 0; lane < lanes; ++lane) {
    if (lane == empty || lane == spoilt) continue;
    std::vector<long double> own;
    for (std::ptrdiff_t key = 0; key < keys; ++key) {
      own.push_back((static_cast<long double>(at(key, lane)) -
                     static_cast<long double>(maximum[static_cast<std::size_t>(lane)])) /
                    2);
    }
    close(thresholds.exact[lane], static_cast<double>(bisected(own, alpha)), 16 * epsilon,
          "a threshold is that of bisection");
  }

  std::vector<T> slopes(scores.size()), slope_sums(static_cast<std::size_t>(padded), T{0});
  const std::vector<T> before = scores;
  const std::uint64_t used =
      write_weights(alpha, thresholds, padded, keys,
                    TileWeights<T>{scores.data(), slopes.data(), nullptr}, slope_sums.data());
  for (int lane = 0; lane < lanes; ++lane) {
    double sum = 0;
    bool zeros_are_lowest = true, groups_are_marked = true;
    T lowest_used = std::numeric_limits<T>::infinity(), highest_unused = minus_infinity<T>;
    for (std::ptrdiff_t key = 0; key < keys; ++key) {
      const T weight = at(key, lane), score = before[static_cast<std::size_t>(key * padded + lane)];
      sum += static_cast<double>(weight);
      T& bound = weight == 0 ? highest_unused : lowest_used;
      bound = weight == 0 ? std::max(bound, score) : std::min(bound, score);
      groups_are_marked &= weight == 0 || (used >> key / group_keys & 1) != 0;
    }
    zeros_are_lowest = !(highest_unused > lowest_used);
    check(groups_are_marked, "a group with a weight is used");
    if (lane == empty) {
      check(sum == 0, "no visible key, no weight");
      check(slope_sums[static_cast<std::size_t>(lane)] == 0, "... and no slope");
      continue;
    }
    if (lane == spoilt) {
      check(std::isnan(sum), "NaN among the scores is seen");
      continue;
    }
    // the last step is up to 64 ε, after which keys that it drops move the sum by as much
    close(sum, 1, 256 * epsilon / (alpha - 1), "weights sum to 1");
    close(static_cast<double>(slope_sums[static_cast<std::size_t>(lane)]), 1, 0.01,
          "slopes are divided by nearly their sum");
    check(zeros_are_lowest, "weights of 0 are those of the lowest scores");
  }
}

template <class T>
void test_all() {
  for (const double alpha : {2.0, 1.5, 1.9, 1.3, 1.05}) {
    for (const int lanes : {1, 3, 2 * simd::lanes<T>, static_cast<int>(Panel<T>::max_lanes)}) {
      for (const std::ptrdiff_t keys : {1, 5, 65, 384, 1999}) {
        if (keys > 400 && alpha != 1.5) continue;  // a power in long double takes long
        test<T>(alpha, lanes, keys, T(3), T(2));
        test<T>(alpha, lanes, keys, T(-50), T(20));
        test<T>(alpha, lanes, keys, T(1), T(0));
      }
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::test_all<float>();
  heedful::test_all<double>();
  return heedful::summary();
}
