// One task of the backward pass: a block of keys against the panels of queries [first_panel,
// end_panel) of each query head of its group. See backward.hpp.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>

#include "attention/backward.hpp"
#include "attention/panel.hpp"
#include "attention/problem.hpp"
#include "attention/ragged_range.hpp"
#include "attention/row_scale.hpp"
#include "attention/score_tile.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

struct BackwardTask {
  std::ptrdiff_t item, kv_head, block, first_panel, end_panel;
  std::ptrdiff_t chunk, chunks;  // of the queries
  bool only_block;               // of the item: each of its panels has this task alone
  double* dweight;               // (E), the task's own part; only in additive attention
};

// Who may add next. A turn counts up by one with every task that had it.
struct Turns {
  std::atomic<std::ptrdiff_t>* dquery;  // of (item, head, panel): blocks
  const RaggedRange* panels;
  std::atomic<std::ptrdiff_t>* dkey;  // of (item, kv_head, block): chunks
  const RaggedRange* blocks;
  // of (block, panel), as many panels as the longest item has: (item, head); for a shared dbias
  std::atomic<std::ptrdiff_t>* dbias;
  std::ptrdiff_t most_panels;
};

template <class T>
struct BackwardCall {
  const Problem& problem;
  const BackwardTensors& tensors;
  const RowScales<T>& scales;
  ScoreRule<T> rule;
  T dropout_factor;
  Turns turns;
  bool long_sums;  // some task sums dkey and dvalue over more than level_panels
};

template <class T>
inline constexpr std::ptrdiff_t panel_rows = Panel<T>::max_lanes;

// Panels whose products are summed one after another. The sums of so many are added up in double:
// the error of a sum in T grows with its terms, and there may be millions of queries.
inline constexpr std::ptrdiff_t level_panels = 32;

// Most keys of a block. Each block turns all panels of queries and adds to all rows of dquery, so
// longer ones cost less, until keys, values and both gradients leave the second cache.
inline std::ptrdiff_t most_block_keys(const Problem& problem) {
  const std::ptrdiff_t depths = std::max<std::ptrdiff_t>(problem.depth + problem.value_depth, 1);
  return std::clamp<std::ptrdiff_t>(65536 / depths / 8 * 8, 32, 384);
}

// Keys of each block of an item but the last: even blocks. With dbias the cuts lie at the same
// multiples for every item, so that a shared dbias has one order.
inline std::ptrdiff_t block_keys(const Problem& problem, const BackwardTensors& tensors,
                                 const Item& item) {
  const std::ptrdiff_t most = most_block_keys(problem);
  if (tensors.dbias) return most;
  const std::ptrdiff_t blocks = std::max<std::ptrdiff_t>((item.keys + most - 1) / most, 1);
  return std::max<std::ptrdiff_t>((item.keys + blocks * 8 - 1) / (blocks * 8) * 8, 8);
}

inline std::ptrdiff_t key_blocks(const Problem& problem, const BackwardTensors& tensors,
                                 const Item& item) {
  const std::ptrdiff_t size = block_keys(problem, tensors, item);
  return (item.keys + size - 1) / size;
}

template <class T>
std::size_t backward_scratch(const BackwardCall<T>& call);

template <class T>
void backward(const BackwardCall<T>& call, const BackwardTask& task, Worker& worker);

}  // namespace heedful
