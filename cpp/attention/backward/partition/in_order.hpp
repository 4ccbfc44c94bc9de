// The order of additions. Several tasks add to the same elements, and the bits of a sum depend on
// its order: so each task has a ticket, and waits until those before it have added.
//
//   added to                     one counter for each        tickets, from 0
//   dquery, dbias not shared     (item, head, panel)         key tile, of those that it sees
//   shared dbias                 (key tile, panel)           (item, head)
//   dkey, dvalue                 (item, kv_head, key tile)   chunk
//
// There is no deadlock: tasks start in the order of (key tile, item, kv_head, chunk), see
// backward.cpp, and a lower ticket belongs to an earlier task, or to the same task at an earlier
// step.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>

#include "arrays/ragged_range.hpp"
#include "attention/backward/partition/partition.hpp"
#include "attention/problem/problem.hpp"
#include "parallel/parallel_for.hpp"
#include "parallel/scratch.hpp"

namespace heedful {

struct Ticket {
  std::atomic<std::ptrdiff_t>& added;  // number of tasks that have added
  std::ptrdiff_t number;               // number of tasks that add before
};

// Waits for its ticket, and admits the next one at the end of its scope.
class InOrder {
 public:
  InOrder(Worker& worker, const Ticket& ticket) : added_(ticket.added) {
    worker.wait(added_, ticket.number);
  }
  // Not if the scope is left by an exception: no task may add to a partially added result. Waiting
  // tasks are woken by the region, which stops.
  ~InOrder() {
    if (std::uncaught_exceptions() == exceptions_) added_.fetch_add(1, std::memory_order_release);
  }
  InOrder(const InOrder&) = delete;
  InOrder& operator=(const InOrder&) = delete;

 private:
  std::atomic<std::ptrdiff_t>& added_;
  const int exceptions_ = std::uncaught_exceptions();
};

class Tickets {
 public:
  template <class T>
  Tickets(const Problem& problem, const BackwardPartition<T>& partition, bool shared_dbias)
      : heads_(problem.num_heads),
        max_panels_(partition.max_panels()),
        panels_(problem.num_items, problem.num_heads,
                [&](std::ptrdiff_t i) { return partition.panels(i); }),
        key_tiles_(problem.num_items, problem.num_kv_heads,
                   [&](std::ptrdiff_t i) { return partition.key_tiles(i); }),
        dquery_(panels_.size(), zeroed),
        key_sums_(key_tiles_.size(), zeroed),
        shared_dbias_(shared_dbias ? partition.max_key_tiles() * partition.max_panels() : 0,
                      zeroed) {}

  // `number`: of key tiles before that the panel sees.
  Ticket dquery(const BackwardTask& task, std::ptrdiff_t head, std::ptrdiff_t panel,
                std::ptrdiff_t number) {
    return {dquery_[panels_.begin(task.item, head) + panel], number};
  }
  // Every item and head has tickets for as many panels as the longest item.
  Ticket shared_dbias(const BackwardTask& task, std::ptrdiff_t head, std::ptrdiff_t panel) {
    return {shared_dbias_[task.key_tile * max_panels_ + panel], task.item * heads_ + head};
  }
  Ticket dkey_and_dvalue(const BackwardTask& task) {
    return {key_sums_[key_tiles_.begin(task.item, task.kv_head) + task.key_tile], task.chunk};
  }

 private:
  using Added = std::atomic<std::ptrdiff_t>;
  std::ptrdiff_t heads_, max_panels_;
  RaggedRange panels_, key_tiles_;
  Buffer<Added> dquery_, key_sums_, shared_dbias_;
};

}  // namespace heedful
