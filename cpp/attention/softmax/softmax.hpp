// The normaliser softmax: what turns scores into weights, and how the weights answer to a score.
//   weight = 2^(exponent · (score − base))      base: the maximum so far, or what lse says it is
//   probability = weight · factor               factor: 1 / Σ weight, whatever base was
//   dscore = probability · (dprobability − delta)      delta = Σ_key probability · dprobability
//   lse = ln Σ e^(natural · score)
// A normaliser is these functions; loops and buffers stand elsewhere (online_softmax.hpp,
// backward/). Which one a call has is said in normalizer.hpp.
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "simd/exp2.hpp"
#include "simd/packet.hpp"

namespace heedful {

template <class T>
struct Softmax {
  using P = simd::Packet<T>;

  T exponent, natural;  // the ScoreRule's

  // What scores are measured from: the maximum, or 0 where nothing was seen, because −∞ − (−∞)
  // would be NaN.
  static P base(const P& maximum) {
    const auto nothing = simd::broadcast(-std::numeric_limits<T>::infinity());
    return simd::select(simd::equal(maximum, nothing), simd::broadcast(T{0}), maximum);
  }
  static T base(T maximum) {
    return maximum == -std::numeric_limits<T>::infinity() ? T{0} : maximum;
  }

  // 0 for a hidden key, whose score is −∞.
  P weight(const P& score, const P& base) const {
    return simd::exp2<T>(simd::multiply(simd::subtract(score, base), simd::broadcast(exponent)));
  }
  // What weights measured from `maximum` are multiplied by where the base rises.
  P shrink(const P& maximum, const P& base) const { return weight(maximum, base); }
  T shrink(T maximum, T base) const { return std::exp2((maximum - base) * exponent); }

  // What a row's sum of weighted values is multiplied by at the end; 0 where nothing was seen.
  T out_factor(T sum, T factor) const { return sum == 0 ? T{0} : factor / sum; }

  // −∞ where nothing was seen.
  T lse(T maximum, T sum) const {
    return sum == 0 ? -std::numeric_limits<T>::infinity() : maximum * natural + std::log(sum);
  }

  // Base and factor of a row whose lse is known.
  struct Scale {
    T base, factor;
  };
  Scale scale(T lse) const {
    const T base = lse == -std::numeric_limits<T>::infinity() ? -lse : lse / natural;
    // Compensates what was rounded away of base, and of the exponent: in a row of many keys or
    // large scores base is many units off, and all probabilities would be off by as many roundings.
    using Wide = std::conditional_t<std::is_same_v<T, float>, double, long double>;
    constexpr Wide ln_2 = static_cast<Wide>(0.693147180559945309417232121458L);
    const Wide rest =
        static_cast<Wide>(base) * static_cast<Wide>(exponent) * ln_2 - static_cast<Wide>(lse);
    return {base, std::isfinite(rest) ? static_cast<T>(1 + rest) : T{1}};
  }

  P probability(const P& score, const P& base, const P& factor) const {
    return simd::multiply(weight(score, base), factor);
  }
  static P dscore(const P& probability, const P& dprobability, const P& delta) {
    return simd::multiply(probability, simd::subtract(dprobability, delta));
  }
};

}  // namespace heedful
