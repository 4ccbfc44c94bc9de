// Rows that are prefetched while a panel is computed.
//   add_panel_rows   those that another panel reads at its start
//   NextTask         those of the task that this thread is likely to execute next
#pragma once

#include <cstddef>

#include "arrays/even_ranges.hpp"
#include "arrays/prefetch.hpp"
#include "attention/backward/call.hpp"

namespace heedful {

template <class T>
void add_panel_rows(const BackwardCall<T>& call, std::ptrdiff_t item, std::ptrdiff_t head,
                    KeyRange queries, RowPrefetch& prefetch) {
  if (queries.empty()) return;
  const Problem& problem = call.problem;
  const std::ptrdiff_t first = problem.items[item].query_begin + queries.begin;
  const auto add = [&](const TensorView& rows, std::ptrdiff_t columns) {
    prefetch.add(rows, item, head, first, queries.size(), columns);
  };
  add(call.tensors.query, problem.depth);
  add(call.tensors.dout, problem.value_depth);
  if (call.partition.has_one_key_tile(item)) add(call.tensors.out, problem.value_depth);
}

// Only of heads whose rows alternate: the hardware prefetcher follows the others.
template <class T>
class NextTask {
 public:
  // `task` may be null: it is the last one. `panels`: of the current task.
  NextTask(const BackwardCall<T>& call, const BackwardTask* task, std::ptrdiff_t panels)
      : call_(call),
        task_(call.tensors.key.heads_alternate() ? task : nullptr),
        keys_(task_ ? call.partition.key_tile(task_->item, task_->key_tile) : KeyRange{0, 0}),
        shares_{keys_.size(), panels} {}

  explicit operator bool() const { return task_ != nullptr; }

  // While a panel of the current task is computed, `order` others of which came before: a share of
  // the keys and values, and of the rows that their gradients are written to; while the last one
  // is, the rows of the first panel, too.
  void add_rows(std::ptrdiff_t order, RowPrefetch& prefetch) const {
    const Problem& problem = call_.problem;
    if (order + 1 == shares_.count) add_first_panel(prefetch);
    const std::ptrdiff_t first =
        problem.items[task_->item].key_begin + keys_.begin + shares_.begin(order);
    const auto add = [&](const TensorView& rows, std::ptrdiff_t columns) {
      prefetch.add(rows, task_->item, task_->kv_head, first, shares_.length(order), columns);
    };
    add(call_.tensors.key, problem.depth);
    add(call_.tensors.value, problem.value_depth);
    add(call_.tensors.dkey, problem.depth);
    add(call_.tensors.dvalue, problem.value_depth);
  }

 private:
  void add_first_panel(RowPrefetch& prefetch) const {
    const std::ptrdiff_t panel = call_.partition.first_panel(task_->item, task_->chunk);
    add_panel_rows(call_, task_->item, task_->kv_head * call_.problem.group(),
                   call_.partition.queries(task_->item, panel), prefetch);
  }

  const BackwardCall<T>& call_;
  const BackwardTask* task_;
  KeyRange keys_;
  EvenRanges shares_;
};

}  // namespace heedful
