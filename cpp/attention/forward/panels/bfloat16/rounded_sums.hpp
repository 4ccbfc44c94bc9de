// What the products of prefill in bfloat16 (pair_products.hpp, tile_products.hpp) have in common:
// when they apply, and the sums of rounded weights. Scores, softmax and all sums are float. Weights
// are rounded to bfloat16 before they are multiplied with values: for values of both signs the
// error is that of rounding the result, 1.3 to 1.4 times the error in total. The final division is
// by the sum of the rounded weights, so that they sum to 1 again: the error is then that of the
// values around their mean, which halves the error of rounded weights for values of one sign. The
// lse uses the sum of the unrounded weights.
#pragma once

#include <algorithm>
#include <cstddef>

#include "attention/forward/overflow.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/row_task.hpp"
#include "attention/softmax/online_softmax.hpp"
#include "kernels/rounded_weights.hpp"

namespace heedful {

// How the products of the call are computed: in bfloat16 only if all its arrays are of that type.
// Without values nothing is rounded.
inline simd::Bfloat16Way way_of(const ForwardCall<float>& call) {
  constexpr ElementType bfloat16 = ElementType::bfloat16;
  const Problem& problem = call.problem;
  const bool scores = problem.score_kind == ScoreKind::dot && call.query.type == bfloat16 &&
                      call.key.type == bfloat16;
  const bool values =
      problem.value_depth == 0 ||
      (problem.may_round_weights() && call.value.type == bfloat16 && call.out.type == bfloat16);
  return scores && values ? problem.bfloat16.products : simd::Bfloat16Way::widened;
}

class RoundedSums {
 public:
  using Scalar = float;
  static constexpr std::ptrdiff_t extra_rows = 1;  // after those of out: sums of rounded weights

  explicit RoundedSums(const ForwardCall<float>& call) : call_(call) {}

  void clear() const {}  // no rows are kept

  // A sink is rescaled like the sum, and is not rounded.
  bool start(const Panel<float>& panel, const RunningSoftmax<float>& state) const {
    std::copy_n(state.sum, panel.lanes(), rounded_sum(panel, state));
    if (!call_.problem.sink) return false;
    std::fill_n(state.out, call_.problem.value_depth * panel.lanes(), 0.0f);
    return true;
  }

  // Rescales out so that state.sum is its divisor. Not needed with dropout: the sum of the rounded
  // weights lacks those that were dropped.
  void finish(const Panel<float>& panel, const RunningSoftmax<float>& state) const {
    const std::ptrdiff_t depth = call_.problem.value_depth;
    record_overflow(call_, Rows<float>{state.out, panel.lanes()}, depth, panel.lanes());
    if (call_.problem.dropout_p > 0 || depth == 0) return;
    alignas(64) float factors[Panel<float>::max_lanes];
    const float* const rounded = rounded_sum(panel, state);
    for (int lane = 0; lane < panel.lanes(); ++lane) {
      factors[lane] = rounded[lane] == 0 ? 1 : state.sum[lane] / rounded[lane];
    }
    scale_columns(state.out, depth, panel.lanes(), factors);
  }

  float* rounded_sum(const Panel<float>& panel, const RunningSoftmax<float>& state) const {
    return state.out + call_.problem.value_depth * panel.lanes();
  }

 protected:
  const ForwardCall<float>& call_;
};

}  // namespace heedful
