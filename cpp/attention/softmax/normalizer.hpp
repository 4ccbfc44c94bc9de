// Selects the normaliser of a call, once per tile or row: its functions are inlined into the loops.
#pragma once

#include "attention/problem/score_rule.hpp"
#include "attention/softmax/entmax.hpp"
#include "attention/softmax/softmax.hpp"

namespace heedful {

// Calls use(normaliser), where it is softmax.
template <class T, class Use>
auto with_normalizer(const ScoreRule<T>& rule, const Use& use) {
  return use(Softmax<T>{rule.exponent, rule.natural});
}

// Calls use(normaliser of a head), where base and factor of its rows are known, see
// forward/row_scale.hpp; a new normaliser is a new case here.
template <class T, class Use>
auto with_normalizer(const ScoreRule<T>& rule, std::ptrdiff_t head, const Use& use) {
  if (rule.alphas) return with_entmax(rule.alphas[head], rule.natural, use);
  return with_normalizer(rule, use);
}

}  // namespace heedful
