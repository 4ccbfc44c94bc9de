// Weighted sum of the values:  out = softmax(scale · query keyᵀ + bias) value
//   query (B, H, Lq, D)   key (B, Hkv, Lk, D)   value (B, Hkv, Lk, Dv)
//   out (B, H, Lq, Dv)   lse (B, H, Lq), may be absent
// Rows without visible keys get out = 0 and lse = −∞. out and lse may not overlap the inputs; only
// rows that belong to an item are written. The bits of a row depend on its item's own shape alone,
// not on the number of items, heads or threads, see partition.hpp.
#pragma once

#include "arrays/tensor_view.hpp"
#include "attention/problem/problem.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

template <class T>
void attention_forward(const Problem& problem, const TensorView& query, const TensorView& key,
                       const TensorView& value, const TensorView& out, const TensorView& lse,
                       const Team& team);

}  // namespace heedful
