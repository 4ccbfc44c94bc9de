// Probabilities and score gradients of a block of keys, rounded to bfloat16 as operands of products
// on tiles. From scores and dprobabilities, in one pass, with the equations of score_gradients.hpp:
//   probability = keep_factor ∘ exp(score − lse)
//   dscore = exp(score − lse) ∘ (keep_factor ∘ dprobability − delta)
//   dproduct = cap_derivative ∘ dscore
// all 0 where hidden. A second word holds what rounding dproduct leaves out: with it the sum over
// keys that is dquery has 16 bits, and the cancellation of dscores within a row survives where keys
// have a common offset.
#pragma once

#include <cstddef>
#include <cstdint>

#include "attention/problem/score_rule.hpp"

namespace heedful {

struct RoundedDscores {
  std::ptrdiff_t keys;  // even
  int lanes;
  bool partial;                        // some of the scores are −∞
  const float* scores;                 // (keys, lanes)
  const float* dprobabilities;         // (keys, lanes)
  const float *base, *factor, *delta;  // (lanes)
  const float* keep_factors;           // (keys, lanes); null without dropout
  const float* cap_derivative;         // (keys, lanes); null without softcap

  std::ptrdiff_t row;            // from key to key of the next two
  std::uint16_t* probabilities;  // (keys, lanes), rounded
  std::uint16_t* dproducts;      // (keys, lanes), rounded
  std::uint32_t* words;          // (keys / 2, lanes): dproducts of two keys
  std::uint32_t* rests;          // (keys / 2, lanes): dproducts − those of words
  float* dscores;                // (keys, lanes), not rounded; may be null
};

void round_dscores(const ScoreRule<float>& rule, const RoundedDscores& block);

}  // namespace heedful
