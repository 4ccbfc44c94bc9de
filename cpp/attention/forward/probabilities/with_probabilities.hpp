// A forward pass of which the probabilities are a result, too:
//   out (B, H, Lq, Dv)   lse (B, H, Lq)     as attention_forward
//   probabilities (B, H, Lq, Lk)            as attention_probabilities, of all rows,
//   averaged (B, Lq, Lk)                    or their mean over the heads
// The probabilities are zeros on entry; only those of visible keys are written.
#pragma once

#include "arrays/tensor_view.hpp"
#include "attention/forward/probabilities/probabilities.hpp"
#include "attention/problem/problem.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

// `probabilities` has one head if the heads are averaged. `rows`: all, with their length.
template <class T>
void attention_with_probabilities(const Problem& problem, const TensorView& query,
                                  const TensorView& key, const TensorView& value,
                                  const TensorView& out, const TensorView& lse,
                                  const TensorView& probabilities, const SelectedRows& rows,
                                  bool average_heads, const Team& team);

}  // namespace heedful
