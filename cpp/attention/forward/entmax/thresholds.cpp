#include "attention/forward/entmax/thresholds.hpp"

#include <limits>

#include "attention/problem/minus_infinity.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// Keys summed in registers, and in T: sums of more are added in double.
constexpr std::ptrdiff_t level_keys = 64, chunk_keys = 2048;

// S and U of the first `vectors` vectors of lanes, from the thresholds in T alone.
template <int vectors, class T, class Power>
void add_sums(const Power& power, const T* scores, std::ptrdiff_t keys,
              const Thresholds<T>& thresholds, T* sums, T* slopes) {
  using P = simd::Packet<T>;
  constexpr int width = simd::lanes<T>;
  const P zero = simd::broadcast(T{0});
  P base[vectors], factor[vectors], negative[vectors];
  for (int v = 0; v < vectors; ++v) {
    base[v] = simd::load(thresholds.base + v * width);
    factor[v] = simd::load(thresholds.factor + v * width);
    negative[v] = simd::subtract(zero, simd::load(thresholds.threshold + v * width));
  }
  for (std::ptrdiff_t begin = 0; begin < keys; begin += level_keys) {
    const std::ptrdiff_t end = std::min(begin + level_keys, keys);
    P sum[vectors], slope[vectors];
    for (int v = 0; v < vectors; ++v) sum[v] = slope[v] = zero;
    for (std::ptrdiff_t key = begin; key < end; ++key) {
#pragma GCC unroll 3
      for (int v = 0; v < vectors; ++v) {
        const P score = simd::load(scores + (key * vectors + v) * width);
        const P excess = simd::maximum(
            simd::multiply_add(simd::subtract(score, base[v]), factor[v], negative[v]), zero);
        const P own = power.slope(excess, v * width);
        sum[v] = simd::multiply_add(own, excess, sum[v]);
        slope[v] = simd::add(slope[v], own);
      }
    }
    for (int v = 0; v < vectors; ++v) {
      simd::store(sums + v * width, simd::add(simd::load(sums + v * width), sum[v]));
      simd::store(slopes + v * width, simd::add(simd::load(slopes + v * width), slope[v]));
    }
  }
}

template <class T, class Power>
void add_sums(const Power& power, int vectors, const T* scores, std::ptrdiff_t keys,
              const Thresholds<T>& thresholds) {
  constexpr int max_lanes = Panel<T>::max_lanes;
  const int lanes = vectors * simd::lanes<T>;
  std::fill_n(thresholds.sums, lanes, 0.0);
  std::fill_n(thresholds.slopes, lanes, 0.0);
  for (std::ptrdiff_t begin = 0; begin < keys; begin += chunk_keys) {
    alignas(64) T sums[max_lanes] = {}, slopes[max_lanes] = {};
    const T* const from = scores + begin * lanes;
    const std::ptrdiff_t count = std::min(chunk_keys, keys - begin);
    switch (vectors) {
      case 1:
        add_sums<1>(power, from, count, thresholds, sums, slopes);
        break;
      case 2:
        add_sums<2>(power, from, count, thresholds, sums, slopes);
        break;
      default:
        add_sums<3>(power, from, count, thresholds, sums, slopes);
    }
    for (int lane = 0; lane < lanes; ++lane) {
      thresholds.sums[lane] += static_cast<double>(sums[lane]);
      thresholds.slopes[lane] += static_cast<double>(slopes[lane]);
    }
  }
}

// S^(2 − α)
double power_of_sum(double sum, double alpha) {
  if (alpha == 2) return 1;
  return alpha == 1.5 ? std::sqrt(sum) : std::pow(sum, 2 - alpha);
}

// One step of every lane. True if all are so small that after them the error is below rounding.
template <class T>
bool step(int lanes, const Thresholds<T>& thresholds) {
  constexpr double epsilon = std::numeric_limits<T>::epsilon();
  bool done = true;
  for (int lane = 0; lane < lanes; ++lane) {
    const double sum = thresholds.sums[lane], slope = thresholds.slopes[lane];
    if (slope == 0) continue;  // no key is visible
    const bool smooth = thresholds.alpha[lane] <= 1.5;
    const double change = (sum - power_of_sum(sum, thresholds.alpha[lane])) / slope;
    const double exact = static_cast<double>(thresholds.threshold[lane]) + change;
    thresholds.exact[lane] = exact;
    thresholds.threshold[lane] = static_cast<T>(exact);
    thresholds.rest[lane] = static_cast<T>(exact - static_cast<double>(thresholds.threshold[lane]));
    // steps converge quadratically where the slope is smooth
    const double tolerance = smooth ? std::sqrt(epsilon) / 16 : 64 * epsilon;
    if (change > -tolerance * exact) done = false;
  }
  return done;
}

}  // namespace

template <class T>
void find_thresholds(const Problem& problem, const ScoreRule<T>& rule, const Panel<T>& panel,
                     const T* scores, std::ptrdiff_t keys, const T* maximum,
                     const Thresholds<T>& thresholds) {
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    const double alpha = problem.alphas[panel.head[lane]];
    thresholds.base[lane] = maximum[lane] == minus_infinity<T> ? T{0} : maximum[lane];
    thresholds.factor[lane] = entmax_factor(alpha, rule.natural);
    thresholds.exponent[lane] = entmax_exponent<T>(alpha);
    thresholds.inverse[lane] = static_cast<T>(1 / (alpha - 1));
    thresholds.threshold[lane] = -1;
    thresholds.rest[lane] = 0;
    thresholds.alpha[lane] = alpha;
    thresholds.exact[lane] = -1;
  }
  constexpr int max_steps = 100;  // never needed: the steps converge quadratically
  with_power(common_alpha(panel, problem.alphas), thresholds, [&](const auto& power) {
    for (int steps = 0; steps < max_steps; ++steps) {
      add_sums(power, panel.vectors, scores, keys, thresholds);
      if (step(panel.lanes(), thresholds)) return;
    }
  });
}

template <class T>
void sum_slopes(const Panel<T>& panel, const T* scores, std::ptrdiff_t keys,
                const Thresholds<T>& thresholds) {
  constexpr int width = simd::lanes<T>;
  const EntmaxPower<T> power{thresholds.exponent};
  const auto zero = simd::broadcast(T{0});
  for (int lane = 0; lane < panel.lanes(); lane += width) {
    double slopes[width] = {}, entropies[width] = {};
    for (std::ptrdiff_t begin = 0; begin < keys; begin += level_keys) {
      auto slope = zero, entropy = zero;
      for (std::ptrdiff_t key = begin; key < std::min(begin + level_keys, keys); ++key) {
        const auto score = simd::load(scores + key * panel.lanes() + lane);
        const auto excess = thresholds.excess(score, lane);
        const auto own = power.slope(excess, lane);
        slope = simd::add(slope, own);
        entropy = simd::add(entropy, thresholds.entropy(excess, own, lane));
      }
      alignas(64) T totals[2][width];
      simd::store(totals[0], slope);
      simd::store(totals[1], entropy);
      for (int i = 0; i < width; ++i) {
        slopes[i] += static_cast<double>(totals[0][i]);
        entropies[i] += static_cast<double>(totals[1][i]);
      }
    }
    std::copy_n(slopes, width, thresholds.slopes + lane);
    std::copy_n(entropies, width, thresholds.entropies + lane);
  }
}

template void find_thresholds(const Problem&, const ScoreRule<float>&, const Panel<float>&,
                              const float*, std::ptrdiff_t, const float*, const Thresholds<float>&);
template void find_thresholds(const Problem&, const ScoreRule<double>&, const Panel<double>&,
                              const double*, std::ptrdiff_t, const double*,
                              const Thresholds<double>&);
template void sum_slopes(const Panel<float>&, const float*, std::ptrdiff_t,
                         const Thresholds<float>&);
template void sum_slopes(const Panel<double>&, const double*, std::ptrdiff_t,
                         const Thresholds<double>&);

}  // namespace heedful
