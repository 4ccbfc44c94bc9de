// The normaliser softmax: what turns scores into weights, and how the weights answer to a score.
//   weight = 2^(exponent · (score − base))      base: the maximum so far, or what lse says it is
//   probability = weight · factor               factor: 1 / Σ weight, whatever base was
//   dscore = probability · (dprobability − delta)      delta = Σ_key probability · dprobability
// A normaliser is these functions on packets; sums and buffers are others' (online_softmax.hpp,
// backward/). Which one a call has is said in normalizer.hpp.
#pragma once

#include <cmath>

#include "attention/problem/minus_infinity.hpp"
#include "simd/exp2.hpp"
#include "simd/packet.hpp"

namespace heedful {

template <class T>
struct Softmax {
  using P = simd::Packet<T>;

  T exponent;  // the ScoreRule's

  // What scores are measured from: the maximum, or 0 where nothing was seen, because −∞ − (−∞)
  // would be NaN.
  static P base(const P& maximum) {
    const auto minus_infinities = simd::broadcast(minus_infinity<T>);
    return simd::select(simd::equal(maximum, minus_infinities), simd::broadcast(T{0}), maximum);
  }
  static T base(T maximum) { return maximum == minus_infinity<T> ? T{0} : maximum; }

  // 0 for a hidden key, whose score is −∞.
  P weight(const P& score, const P& base) const {
    return simd::exp2<T>(simd::multiply(simd::subtract(score, base), simd::broadcast(exponent)));
  }
  // What weights measured from `maximum` are multiplied by where the base rises.
  P rescale(const P& maximum, const P& base) const { return weight(maximum, base); }
  T rescale(T maximum, T base) const { return std::exp2((maximum - base) * exponent); }

  P probability(const P& score, const P& base, const P& factor) const {
    return simd::multiply(weight(score, base), factor);
  }
  static P dscore(const P& probability, const P& dprobability, const P& delta) {
    return simd::multiply(probability, simd::subtract(dprobability, delta));
  }
};

}  // namespace heedful
