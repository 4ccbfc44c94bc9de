// The inputs of this thread's next task, prefetched while the current one is computed: otherwise
// short sequences would wait for memory at the start of each task.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/prefetch.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/row_task.hpp"
#include "kernels/micro_kernel.hpp"

namespace heedful {

// Number of register blocks in the products of a task's first key tile, at least.
template <class T>
std::ptrdiff_t register_blocks(const Problem& problem, const RowTask& task) {
  constexpr std::ptrdiff_t block_rows = simd::registers >= 32 ? 8 : 4;
  const std::ptrdiff_t panels = (task.rows + Panel<T>::max_lanes - 1) / Panel<T>::max_lanes;
  const std::ptrdiff_t keys = std::min(task.keys.size(), tile_keys(problem));
  return std::max<std::ptrdiff_t>(panels * (keys + problem.value_depth) / block_rows, 1);
}

// `next` is a guess: another thread may execute it. Queries first, then keys and values, and where
// its results are written, a few rows after each register block of the task.
template <class T>
RowPrefetch next_task_prefetch(const ForwardCall<T>& call, const RowTask& task,
                               const RowTask& next) {
  const Problem& problem = call.problem;
  const Item& item = problem.items[next.item];
  const Row first = row_of(problem, next, 0);
  const std::ptrdiff_t queries = std::min(next.rows, item.queries - first.query);
  const bool same_head = next.item == task.item && next.kv_head == task.kv_head;
  const std::ptrdiff_t begin = item.key_begin + next.keys.begin;
  const std::ptrdiff_t keys = same_head ? 0 : next.keys.size();
  // the hardware does not follow rows that alternate with those of other heads
  const std::ptrdiff_t outs = call.out.heads_alternate() ? queries : 0;
  RowPrefetch prefetch((queries + 2 * keys + outs) / register_blocks<T>(problem, task) + 1);
  prefetch.add(call.query, next.item, first.head, item.query_begin + first.query, queries,
               problem.depth);
  prefetch.add(call.key, next.item, next.kv_head, begin, keys, problem.depth);
  prefetch.add(call.value, next.item, next.kv_head, begin, keys, problem.value_depth);
  prefetch.add(call.out, next.item, first.head, item.query_begin + first.query, outs,
               problem.value_depth);
  // long inputs are prefetched by the hardware, since they are read in order, and would be evicted
  const std::ptrdiff_t max_bytes = call.key.heads_alternate() ? 160 << 10 : 64 << 10;
  if (!same_head && prefetch.bytes() > max_bytes) return RowPrefetch();
  return prefetch;
}

}  // namespace heedful
