// The normaliser softmax: scores to weights, weights to probabilities, and their gradients.
//   weight = 2^(exponent · (score − base))      base: the running maximum, or lse as a score
//   probability = weight · factor               factor: 1 / Σ weight, for any base
//   dscore = probability · (dprobability − delta)
//   delta = Σ_key probability · dprobability − dlse
//   lse = ln Σ e^(natural · score): the logarithm of what weights are divided by
// A normaliser is these functions; loops and buffers are in online_softmax.hpp and backward/.
// normalizer.hpp selects the one of a call.
#pragma once

#include <cmath>
#include <cstddef>
#include <type_traits>

#include "attention/problem/minus_infinity.hpp"
#include "simd/exp2.hpp"
#include "simd/packet.hpp"

namespace heedful {

template <class T>
struct Softmax {
  using P = simd::Packet<T>;

  T exponent, natural;  // the ScoreRule's

  // What is subtracted from scores: the maximum, or 0 for a row without visible keys, because −∞ −
  // (−∞) would be NaN.
  static P base(const P& maximum) {
    const auto minus_infinities = simd::broadcast(minus_infinity<T>);
    return simd::select(simd::equal(maximum, minus_infinities), simd::broadcast(T{0}), maximum);
  }
  static T base(T maximum) { return maximum == minus_infinity<T> ? T{0} : maximum; }

  // 0 for a hidden key, whose score is −∞.
  P weight(const P& score, const P& base) const {
    return simd::exp2<T>(simd::multiply(simd::subtract(score, base), simd::broadcast(exponent)));
  }
  // The weights of scores [i · stride] that are not above the base, with the same bits.
  template <int count>
  void weights(const T* scores, std::ptrdiff_t stride, const P& base, P (&weights)[count]) const {
    const P factor = simd::broadcast(-exponent);
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) {
      // negated twice: so the score needs no register of its own
      weights[i] = simd::multiply(simd::subtract(base, simd::load(scores + i * stride)), factor);
    }
    simd::exp2_together<T>(weights);
  }
  // The factor of weights relative to `maximum` when the base grows.
  P rescale(const P& maximum, const P& base) const { return weight(maximum, base); }
  T rescale(T maximum, T base) const { return std::exp2((maximum - base) * exponent); }

  // The final factor of the sums of weighted values, `factor` being dropout's; 0 for a row without
  // visible keys.
  T out_factor(T sum, T factor) const { return sum == 0 ? T{0} : factor / sum; }
  static P out_factor(const P& sum, const P& factor) {
    const P zero = simd::broadcast(T{0});
    return simd::select(simd::equal(sum, zero), zero, simd::divide(factor, sum));
  }

  // −∞ for a row without visible keys.
  T lse(T maximum, T sum) const {
    return sum == 0 ? minus_infinity<T> : maximum * natural + std::log(sum);
  }

  // Base and factor of a row whose lse is known.
  struct RowScale {
    T base, factor;
  };
  RowScale row_scale(T lse) const {
    const T base = lse == minus_infinity<T> ? -lse : lse / natural;
    // Compensates the rounding of base and of the exponent: in a row of many keys or large scores
    // base is off by many units, and all probabilities would be off by as many ulps.
    using Wide = std::conditional_t<std::is_same_v<T, float>, double, long double>;
    constexpr Wide ln_2 = static_cast<Wide>(0.693147180559945309417232121458L);
    const Wide residual =
        static_cast<Wide>(base) * static_cast<Wide>(exponent) * ln_2 - static_cast<Wide>(lse);
    return {base, std::isfinite(residual) ? static_cast<T>(1 + residual) : T{1}};
  }

  P probability(const P& score, const P& base, const P& factor) const {
    return simd::multiply(weight(score, base), factor);
  }
  // The probabilities of scores [i · stride], with the same bits.
  template <int count>
  void probabilities(const T* scores, std::ptrdiff_t stride, const P& base, const P& factor,
                     P (&probabilities)[count]) const {
    const P limit = simd::broadcast(simd::Exp2Constants<T>::bias + 1);
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) {
      const P difference = simd::subtract(base, simd::load(scores + i * stride));
      const P power = simd::multiply(difference, simd::broadcast(-exponent));
      probabilities[i] = simd::minimum(power, limit);
    }
    simd::exp2_together<T>(probabilities);
#pragma GCC unroll 8
    for (int i = 0; i < count; ++i) {
      probabilities[i] = simd::multiply(probabilities[i], factor);
    }
  }
  static P dscore(const P& probability, const P& dprobability, const P& delta) {
    return simd::multiply(probability, simd::subtract(dprobability, delta));
  }
  // The same, as of a normaliser whose derivative needs the score.
  static P dscore(const P&, const P&, const P&, const P& probability, const P& dprobability,
                  const P& delta) {
    return dscore(probability, dprobability, delta);
  }
};

}  // namespace heedful
