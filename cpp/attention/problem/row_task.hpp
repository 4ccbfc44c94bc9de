// One task of the forward pass: some rows of one key/value head, or of several in turn, against a
// range of keys.
#pragma once

#include <atomic>
#include <cstddef>

#include "arrays/rows.hpp"
#include "arrays/tensor_view.hpp"
#include "attention/problem/problem.hpp"
#include "attention/problem/score_rule.hpp"

namespace heedful {

// The tensors of the call, and what all its tasks have in common.
template <class T>
struct ForwardCall {
  const Problem& problem;
  const TensorView& query;
  const TensorView& key;
  const TensorView& value;
  const TensorView& out;
  const TensorView& lse;
  ScoreRule<T> rule;
  T dropout_factor;
  std::atomic<bool>* overflowed = nullptr;  // set by record_overflow
  std::ptrdiff_t shared_keys = 0;           // maximum keys of a head that several tasks read
  std::ptrdiff_t decoded_rows = 0;          // maximum rows of a decode task, of all its heads
};

// Maximum rows of a key/value head in a decode task: with more, panels are faster.
template <class T>
inline constexpr std::ptrdiff_t decode_rows = simd::lanes<T> / 2 > 4 ? simd::lanes<T> / 2 : 4;

// Rows [first_row, first_row + rows) of the rows (head of the group, query), the query varying
// fastest.
struct RowTask {
  std::ptrdiff_t item, kv_head, first_row, rows;
  KeyRange keys;
  std::ptrdiff_t key_split;       // index of the split; the first one includes the sink
  std::ptrdiff_t panel_rows = 0;  // of each panel but the last; 0: even panels
  std::ptrdiff_t kv_heads = 1;    // key/value heads from kv_head on, each with these rows

  RowTask of_head(std::ptrdiff_t head) const {
    return {item, kv_head + head, first_row, rows, keys, key_split, panel_rows};
  }
};

struct Row {
  std::ptrdiff_t head, query;
};

inline Row row_of(const Problem& problem, const RowTask& task, std::ptrdiff_t row) {
  const std::ptrdiff_t queries = problem.items[task.item].queries;
  return {task.kv_head * problem.group() + (task.first_row + row) / queries,
          (task.first_row + row) % queries};
}

template <class T>
void write_lse(const ForwardCall<T>& call, std::ptrdiff_t item, Row row, T lse) {
  if (!call.lse) return;
  *reinterpret_cast<T*>(
      call.lse.row(item, row.head, call.problem.items[item].query_begin + row.query)) = lse;
}

}  // namespace heedful
