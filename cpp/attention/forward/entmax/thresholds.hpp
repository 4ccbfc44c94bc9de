// The thresholds of α-entmax for the rows of a query panel, from all their scores [key][lane]:
//   excess = max(factor · (score − maximum) − threshold, 0)     −1 ≤ threshold < 0
//   Σ_key excess^(1 / (α − 1)) = 1
// With e = 1 / (α − 1), the sum S and Σ slope = U, the norm S^(1/e) of the excesses is convex in
// the threshold, and nearly linear: so Newton's steps from −1 rise to its root without passing it,
//   threshold += (S − S^(2 − α)) / U
// and are few. For sparsemax they are those of Michelot (1986), for which S is piecewise linear.
// (Peters et al. 2019 sort the scores or bisect; Gonçalves et al., "AdaSplash", 2025, bisect with
// Halley's steps.)
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "arrays/work_area.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"
#include "attention/problem/score_rule.hpp"
#include "attention/softmax/entmax.hpp"

namespace heedful {

template <class T>
struct Thresholds {
  // Each (lanes)
  T* base;       // the maximum of the scores, or 0 where no key is visible
  T* factor;     // entmax_factor
  T* exponent;   // entmax_exponent
  T* inverse;    // 1 / (α − 1)
  T* threshold;  // in T, and what its rounding left: dense rows have many small excesses
  T* rest;
  double* alpha;
  double* exact;      // threshold + rest
  double* sums;       // S
  double* slopes;     // U
  double* entropies;  // Σ −p ln p, of the last call of sum_slopes

  explicit Thresholds(WorkArea& area) {
    constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;
    for (T** row : {&base, &factor, &exponent, &inverse, &threshold, &rest})
      *row = area.take<T>(lanes);
    for (double** row : {&alpha, &exact, &sums, &slopes, &entropies}) {
      *row = area.take<double>(lanes);
    }
  }

  // The excesses of a vector of scores; of a hidden key 0.
  simd::Packet<T> excess(const simd::Packet<T>& score, int lane) const {
    const auto zero = simd::broadcast(T{0});
    const auto difference = simd::subtract(score, simd::load(base + lane));
    const auto negative = simd::subtract(zero, simd::load(threshold + lane));
    const auto coarse = simd::multiply_add(difference, simd::load(factor + lane), negative);
    return simd::maximum(simd::subtract(coarse, simd::load(rest + lane)), zero);
  }
  // −probability · ln probability
  simd::Packet<T> entropy(const simd::Packet<T>& excess, const simd::Packet<T>& slope,
                          int lane) const {
    const auto zero = simd::broadcast(T{0});
    const auto logarithm = simd::multiply(simd::log(excess), simd::load(inverse + lane));
    const auto probability = simd::multiply(slope, excess);
    return simd::select(simd::equal(excess, zero), zero,
                        simd::subtract(zero, simd::multiply(logarithm, probability)));
  }
};

// The α of all lanes; 0 if they differ.
template <class T>
double common_alpha(const Panel<T>& panel, const double* alphas) {
  const double alpha = alphas[panel.head[0]];
  for (int lane = 1; lane < panel.count; ++lane) {
    if (alphas[panel.head[lane]] != alpha) return 0;
  }
  return alpha;
}

// Calls use(power) for a panel with that common α.
template <class T, class Use>
auto with_power(double alpha, const Thresholds<T>& thresholds, const Use& use) {
  if (alpha == 2) return use(SparsemaxPower<T>{});
  if (alpha == 1.5) return use(Entmax15Power<T>{});
  return use(EntmaxPower<T>{thresholds.exponent});
}

// scores (keys, lanes), maximum (lanes) the maximum of each lane, −∞ where no key is visible.
template <class T>
void find_thresholds(const Problem& problem, const ScoreRule<T>& rule, const Panel<T>& panel,
                     const T* scores, std::ptrdiff_t keys, const T* maximum,
                     const Thresholds<T>& thresholds);

// slopes and entropies at the thresholds.
template <class T>
void sum_slopes(const Panel<T>& panel, const T* scores, std::ptrdiff_t keys,
                const Thresholds<T>& thresholds);

}  // namespace heedful
