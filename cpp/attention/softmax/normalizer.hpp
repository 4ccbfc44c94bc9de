// The normaliser of a call, chosen once for each tile: its functions are inlined into the loops.
#pragma once

#include "attention/problem/score_rule.hpp"
#include "attention/softmax/softmax.hpp"

namespace heedful {

// use(normaliser); another one is one more case here.
template <class T, class Use>
auto with_normalizer(const ScoreRule<T>& rule, const Use& use) {
  return use(Softmax<T>{rule.exponent, rule.natural});
}

}  // namespace heedful
