// The data that all tasks of one call of the backward pass share.
#pragma once

#include "attention/backward/bias_gradient.hpp"
#include "attention/backward/partition/bfloat16_way.hpp"
#include "attention/backward/partition/in_order.hpp"
#include "attention/backward/partition/partition.hpp"
#include "attention/backward/tensors.hpp"
#include "attention/forward/probabilities/row_scale.hpp"
#include "attention/problem/problem.hpp"
#include "attention/problem/score_rule.hpp"

namespace heedful {

template <class T>
struct BackwardCall {
  const Problem& problem;
  const BackwardTensors& tensors;
  const BackwardPartition<T>& partition;
  const RowScales<T>& scales;
  Tickets& tickets;
  ScoreRule<T> rule;
  T dropout_factor;
  BiasAdds bias_adds;
  simd::Bfloat16Way way;
};

}  // namespace heedful
