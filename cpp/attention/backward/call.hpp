// One task of the backward pass: a block of keys against a chunk of the panels of queries, of each
// query head of its group; and what is the same for all tasks of a call.
#pragma once

#include <atomic>
#include <cstddef>

#include "arrays/ragged_range.hpp"
#include "attention/backward/cut.hpp"
#include "attention/backward/tensors.hpp"
#include "attention/forward/row_scale.hpp"
#include "attention/problem/problem.hpp"
#include "attention/problem/score_rule.hpp"

namespace heedful {

struct BackwardTask {
  std::ptrdiff_t item, kv_head, block, chunk;
  double* dweight;  // (E), the task's own part; only in additive attention
};

// Who may add next. A turn counts up by one with every task that had it.
struct Turns {
  std::atomic<std::ptrdiff_t>* dquery;  // of (item, head, panel): blocks
  const RaggedRange* panels;
  std::atomic<std::ptrdiff_t>* dkey;  // of (item, kv_head, block): chunks
  const RaggedRange* blocks;
  // of (block, panel), as many panels as the longest item has: (item, head); for a shared dbias
  std::atomic<std::ptrdiff_t>* dbias;
};

template <class T>
struct BackwardCall {
  const Problem& problem;
  const BackwardTensors& tensors;
  const BackwardCut<T>& cut;
  const RowScales<T>& scales;
  ScoreRule<T> rule;
  T dropout_factor;
  Turns turns;
  bool long_sums;  // some task sums dkey and dvalue over more than level_panels

  // All queries of a head add to one row of dbias, which belongs to it alone.
  bool sums_bias() const {
    return tensors.dbias && !tensors.shared_dbias && tensors.dbias.row_stride == 0 &&
           tensors.dbias.column_stride != 0;
  }
};

// Panels whose products are summed one after another. The sums of so many are added up in double:
// the error of a sum in T grows with its terms, and there may be millions of queries.
inline constexpr std::ptrdiff_t level_panels = 32;

}  // namespace heedful
