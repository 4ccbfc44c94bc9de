// The normaliser α-entmax (Peters, Niculae and Martins, "Sparse Sequence-to-Sequence Models",
// 2019), which gives weight 0 to keys of low scores:
//   excess = max((α − 1) · score − threshold, 0)
//   probability = excess^(1 / (α − 1))     threshold: that of the row, so that Σ probability = 1
//   slope = probability^(2 − α), and 0 where the probability is: probability = slope · excess
//   dscore = slope · (dprobability − delta)
//   delta = Σ_key slope · dprobability / Σ_key slope
// α = 2 is sparsemax (Martins and Astudillo, "From Softmax to Sparsemax", 2016); α → 1 is softmax.
#pragma once

#include <cmath>

#include "attention/problem/score_rule.hpp"
#include "simd/exp2.hpp"
#include "simd/packet.hpp"

namespace heedful {

// excess → slope, and probability = slope · excess. One for each α that needs no logarithm; `lane`
// is that of the vector in the panel.
template <class T>
struct SparsemaxPower {
  using P = simd::Packet<T>;
  static P slope(const P& excess, int) {
    const P zero = simd::broadcast(T{0});
    return simd::select(simd::equal(excess, zero), zero, simd::broadcast(T{1}));
  }
};

template <class T>
struct Entmax15Power {
  using P = simd::Packet<T>;
  static P slope(const P& excess, int) { return excess; }
};

template <class T>
struct EntmaxPower {
  using P = simd::Packet<T>;

  const T* exponents;  // (lanes): entmax_exponent

  P slope(const P& excess, int lane) const {
    const P zero = simd::broadcast(T{0});
    const P power = simd::multiply(simd::log(excess), simd::load(exponents + lane));
    return simd::select(simd::equal(excess, zero), zero, simd::exp2<T>(power));
  }
};

// (α − 1) in the unit of the scores: what a score is multiplied by.
template <class T>
T entmax_factor(double alpha, T natural) {
  return static_cast<T>((alpha - 1) * static_cast<double>(natural));
}

// slope = excess^((2 − α) / (α − 1)), for logarithms to base e and powers of 2.
template <class T>
T entmax_exponent(double alpha) {
  return static_cast<T>(log2_e * (2 - alpha) / (alpha - 1));
}

// The threshold of a row: its maximum, as a score, and the threshold relative to it. Both are ∞
// where no key is visible.
struct RowThreshold {
  double maximum, threshold;
};

// The normaliser of one head, for loops that know base and shift of each row: as Softmax.
template <class T, class Power>
struct Entmax {
  using P = simd::Packet<T>;

  T factor;  // entmax_factor
  Power power;

  // The same as base + shift: score − base is exact near the threshold.
  struct RowScale {
    T base, factor;
  };
  RowScale row_scale(const RowThreshold& row) const {
    const auto wide = static_cast<double>(factor);
    const T base = static_cast<T>(row.maximum + row.threshold / wide);
    const double shift = wide * (static_cast<double>(base) - row.maximum) - row.threshold;
    return {base, std::isfinite(shift) ? static_cast<T>(shift) : T{0}};
  }

  P excess(const P& score, const P& base, const P& shift) const {
    return simd::maximum(
        simd::multiply_add(simd::broadcast(factor), simd::subtract(score, base), shift),
        simd::broadcast(T{0}));
  }
  P probability(const P& score, const P& base, const P& shift) const {
    const P own = excess(score, base, shift);
    return simd::multiply(power.slope(own, 0), own);
  }
  P dscore(const P& score, const P& base, const P& shift, const P&, const P& dprobability,
           const P& delta) const {
    const P slope = power.slope(excess(score, base, shift), 0);
    return simd::multiply(slope, simd::subtract(dprobability, delta));
  }
};

// Calls use(normaliser) for a head of that α.
template <class T, class Use>
auto with_entmax(double alpha, T natural, const Use& use) {
  const T factor = entmax_factor(alpha, natural);
  if (alpha == 2) return use(Entmax<T, SparsemaxPower<T>>{factor, {}});
  if (alpha == 1.5) return use(Entmax<T, Entmax15Power<T>>{factor, {}});
  alignas(64) T exponents[simd::lanes<T>];
  for (T& exponent : exponents) exponent = entmax_exponent<T>(alpha);
  return use(Entmax<T, EntmaxPower<T>>{factor, {exponents}});
}

}  // namespace heedful
