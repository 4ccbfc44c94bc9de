// Attention of each query to the problem's top_k visible keys of the highest scores:
//   out = Σ_key weight · value     weight = softmax of the scores of the kept keys, and of the sink
//   query (B, H, Lq, D)   key (B, Hkv, Lk, D)   value (B, Hkv, Lk, Dv)
//   out (B, H, Lq, Dv)   lse (B, H, Lq)   kept (B, H, Lq, top_k), of KeyIndex
// Fewer visible keys than top_k: all of them. kept is written with the kept keys of a row in
// ascending order, then no_key. lse and kept may be absent. Otherwise as forward/forward.hpp: rows
// have the same bits for any number of items, heads and threads.
//
// A task selects the keys of some query panels (selection.hpp) and sums their values row by row.
// Memory grows with top_k and the number of threads, not with the number of keys. (Gupta et al.,
// "Memory-efficient Transformers via Top-k Attention", 2021.)
#pragma once

#include "arrays/tensor_view.hpp"
#include "attention/problem/problem.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

template <class T>
void top_k_forward(const Problem& problem, const TensorView& query, const TensorView& key,
                   const TensorView& value, const TensorView& out, const TensorView& lse,
                   const TensorView& kept, const Team& team);

}  // namespace heedful
