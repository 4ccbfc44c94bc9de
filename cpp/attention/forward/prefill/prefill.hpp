// Attention of many rows: query panels and key tiles. For each key tile, which then stays in L2,
// and each query panel: scores Sᵀ = K Qᵀ, weights in place, outᵀ += Vᵀ Pᵀ.
//
//             query panels [d][lane], transposed once per task
//   key tile  scores [key][lane] → weights [key][lane]
//   values    out [dv][lane], transposed at the end
#pragma once

#include "arrays/prefetch.hpp"
#include "attention/problem/row_task.hpp"
#include "attention/softmax/key_split.hpp"
#include "kernels/micro_kernel.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

// Maximum rows of a task: four panels share each key tile.
template <class T>
inline constexpr std::ptrdiff_t prefill_rows = 4 * max_vectors * simd::lanes<T>;

template <class T>
std::size_t prefill_scratch(const ForwardCall<T>& call);

// Called before the first task of a thread; after it, worker.scratch is prefill's alone.
template <class T>
void start_prefill(const ForwardCall<T>& call, Worker& worker);

// `next`: rows to prefetch meanwhile.
template <class T>
void prefill(const ForwardCall<T>& call, const RowTask& task, const KeySplit<T>& split,
             RowPrefetch& next, Worker& worker);

}  // namespace heedful
