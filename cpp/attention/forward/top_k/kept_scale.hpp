// Base and factor of a row's probabilities, as in forward/row_scale.hpp, from lse and the scores of
// its kept keys.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include "attention/forward/probabilities/row_scale.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/problem/score_rule.hpp"
#include "attention/softmax/online_softmax.hpp"

namespace heedful {

template <class T>
struct KeptScale {
  T base, factor;

  // scores, buffer (count), with room for a whole vector past the end. lse may include a sink, or
  // more keys than these.
  KeptScale(const ScoreRule<T>& rule, T lse, const T* scores, std::ptrdiff_t count, T* buffer) {
    with_normalizer(rule, [&](const auto& normalizer) {
      const auto scale = normalizer.row_scale(lse);
      base = scale.base;
      factor = scale.factor;
      if (!needs_own_maximum(rule, lse)) return;
      T maximum = minus_infinity<T>, sum = 0;
      std::copy_n(scores, count, buffer);
      add_row(normalizer, buffer, count, maximum, sum, buffer, 0);
      if (std::isinf(maximum) != (sum == 0)) return;
      base = sum == 0 ? std::numeric_limits<T>::infinity() : maximum;
      factor = factor_of(rule, maximum, sum, lse);
    });
  }
};

}  // namespace heedful
