// The keys of the same rows split among tasks, as in flash-decoding (split-K): each stores the
// softmax state of the rows over its own keys, and the last task to finish merges them in order.
#pragma once

#include <atomic>
#include <cstddef>

#include "arrays/ragged_range.hpp"
#include "attention/problem/row_task.hpp"
#include "parallel/scratch.hpp"

namespace heedful {

// Where one task stores the state of its rows. Without arrays the task processes all keys and
// writes the results directly.
//   out (rows, Dv)   maximum, sum (rows)
template <class T>
struct KeySplit {
  T* out = nullptr;
  T* maximum = nullptr;
  T* sum = nullptr;
};

// The states of all rows of a call whose keys are split. splits_of(item): the number of splits of
// each of its key/value heads, 1 if not split.
template <class T>
class KeySplits {
 public:
  template <class SplitsOf>
  KeySplits(const Problem& problem, const SplitsOf& splits_of)
      : problem_(problem),
        rows_(problem.num_items, problem.num_kv_heads,
              [&](std::ptrdiff_t i) {
                const std::ptrdiff_t splits = splits_of(i);
                return splits > 1 ? splits * problem.group() * problem.items[i].queries : 0;
              }),
        outs_(rows_.size() * problem.value_depth),
        maxima_(rows_.size()),
        sums_(rows_.size()),
        finished_(rows_.size() > 0 ? problem.num_items * problem.num_kv_heads : 0, zeroed) {}

  KeySplit<T> at(const RowTask& task, std::ptrdiff_t split) {
    const std::ptrdiff_t row = rows_.begin(task.item, task.kv_head) + split * task.rows;
    return {outs_.data() + row * problem_.value_depth, maxima_.data() + row, sums_.data() + row};
  }

  // Records that one of `splits` tasks has finished. True for the last of them, to which the states
  // of all are visible.
  bool finish_task(const RowTask& task, std::ptrdiff_t splits) {
    return finished_[task.item * problem_.num_kv_heads + task.kv_head].fetch_add(1) + 1 == splits;
  }

 private:
  const Problem& problem_;
  RaggedRange rows_;
  Buffer<T> outs_, maxima_, sums_;
  Buffer<std::atomic<std::ptrdiff_t>> finished_;  // (items, kv_heads)
};

}  // namespace heedful
