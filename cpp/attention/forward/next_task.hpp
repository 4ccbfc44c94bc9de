// Prefetches the inputs of this thread's next task while the current one is computed: otherwise
// short sequences would wait for memory at the start of each task.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/prefetch.hpp"
#include "attention/problem/row_task.hpp"

namespace heedful {

class NextTask {
 public:
  // Prefetches nothing.
  NextTask() = default;

  // `next` is a guess: another thread may execute it.
  template <class T>
  NextTask(const ForwardCall<T>& call, const RowTask& task, const RowTask& next) {
    const Problem& problem = call.problem;
    const Item& item = problem.items[next.item];
    const Row first = row_of(problem, next, 0);
    const std::ptrdiff_t queries = std::min(next.rows, item.queries - first.query);
    queries_ = RowRun::of(call.query, next.item, first.head, item.query_begin + first.query,
                          queries, problem.depth);
    if (next.item == task.item && next.kv_head == task.kv_head) return;
    const std::ptrdiff_t begin = item.key_begin + next.keys.begin, keys = next.keys.size();
    keys_ = RowRun::of(call.key, next.item, next.kv_head, begin, keys, problem.depth);
    values_ = RowRun::of(call.value, next.item, next.kv_head, begin, keys, problem.value_depth);
    // long inputs are prefetched by the hardware, since they are read in order, and would be
    // evicted
    if (bytes(queries_) + bytes(keys_) + bytes(values_) > max_bytes) *this = NextTask();
  }

  void prefetch_queries() const { prefetch(queries_); }
  void prefetch_keys() const { prefetch(keys_); }
  void prefetch_values() const { prefetch(values_); }

 private:
  static constexpr std::ptrdiff_t max_bytes = 64 << 10;

  static std::ptrdiff_t bytes(const RowRun& rows) { return rows.count * rows.bytes; }
  static void prefetch(RowRun rows) { rows.next(rows.count); }

  RowRun queries_{}, keys_{}, values_{};
};

}  // namespace heedful
