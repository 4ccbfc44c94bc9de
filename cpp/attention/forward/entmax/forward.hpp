// Attention whose weights are the α-entmax of the scores, see softmax/entmax.hpp, with the
// problem's α of each head:
//   out = Σ_key probability · value     mean = Σ_key slope · value / Σ_key slope
//   query (B, H, Lq, D)   key (B, Hkv, Lk, D)   value (B, Hkv, Lk, Dv)
//   out, mean, alpha_derivative (B, H, Lq, Dv)   thresholds (B, H, Lq), of RowThreshold
// thresholds, mean and alpha_derivative, d out / dα, may be absent; with dropout the latter two are
// of the weights that were kept. The gradients follow from backward/backward.hpp with thresholds as
// lse and mean as out, and Σ_d dout ∘ alpha_derivative is that of α.
//
// A task is a query panel. The scores of its rows are kept, at most 8 MB of them in a thread unless
// there are more than 100 000 keys; the thresholds are found in a few passes over them
// (thresholds.hpp), which cost a tenth of the two products. Groups of keys whose weights are all 0
// are skipped in the weighted sum; keys of weight 0 count as hidden: their values may be NaN or ∞.
#pragma once

#include "arrays/tensor_view.hpp"
#include "attention/problem/problem.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

struct EntmaxTensors {
  TensorView query, key, value, out, thresholds, mean, alpha_derivative;
};

template <class T>
void entmax_forward(const Problem& problem, const EntmaxTensors& tensors, const Team& team);

}  // namespace heedful
