// Attention of many rows: panels of queries, tiles of keys. For each tile of keys, which then lies
// in the second cache, and each panel of queries: scores Sᵀ = K Qᵀ, weights in place, outᵀ += Vᵀ
// Pᵀ.
//
//             query panels [d][lane], turned once a task
//   key tile  scores [key][lane] → weights [key][lane]
//   values    out [dv][lane], turned back at the end
#pragma once

#include "attention/forward/next_task.hpp"
#include "attention/problem/row_task.hpp"
#include "attention/softmax/key_split.hpp"
#include "kernels/micro_kernel.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

// Most rows of a task: four panels share each tile of keys.
template <class T>
inline constexpr std::ptrdiff_t prefill_rows = 4 * max_vectors * simd::lanes<T>;

template <class T>
std::size_t prefill_scratch(const ForwardCall<T>& call);

template <class T>
void prefill(const ForwardCall<T>& call, const RowTask& task, const KeySplit<T>& split,
             const NextTask& next, Worker& worker);

}  // namespace heedful
