// Selects the normaliser of a call, once per tile or row: its functions are inlined into the loops.
#pragma once

#include "attention/problem/score_rule.hpp"
#include "attention/softmax/softmax.hpp"

namespace heedful {

// Calls use(normaliser); a new normaliser is a new case here.
template <class T, class Use>
auto with_normalizer(const ScoreRule<T>& rule, const Use& use) {
  return use(Softmax<T>{rule.exponent, rule.natural});
}

}  // namespace heedful
