// The key/value heads whose gradients are computed at a time, and what their rows pass on to their
// keys. Heads are numbered item · Hkv + head.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/ragged_range.hpp"
#include "attention/backward/bias_gradient.hpp"
#include "attention/backward/tensors.hpp"
#include "attention/problem/key_index.hpp"
#include "attention/problem/problem.hpp"
#include "attention/problem/score_rule.hpp"
#include "parallel/scratch.hpp"

namespace heedful {

template <class T>
struct TopKBackward {
  const Problem& problem;
  const BackwardTensors& tensors;
  const TensorView& kept;
  ScoreRule<T> rule;
  T dropout_factor;
  BiasAdds bias_adds;

  // Rows (head of the group, query) of a key/value head.
  std::ptrdiff_t rows(std::ptrdiff_t kv_head) const {
    return problem.group() * problem.items[kv_head / problem.num_kv_heads].queries;
  }
  // The kept keys of a row, no_key after the last.
  const KeyIndex* keys_of(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t query) const {
    const std::ptrdiff_t row = problem.items[item].query_begin + query;
    return reinterpret_cast<const KeyIndex*>(kept.row(item, head, row));
  }
  // Whether the gradients of scores are needed after the rows are done, and differ from those of
  // the products.
  bool stores_dscores() const {
    return rule.caps() && (bias_adds == BiasAdds::own_row || bias_adds == BiasAdds::shared);
  }
};

// Buffers (rows, top_k), for the rows of one wave after another.
template <class T>
struct RowBuffers {
  Buffer<T> probabilities;  // after dropout
  Buffer<T> dproducts;      // the gradient of query · key
  Buffer<T> own_dscores;    // the gradient of the scores, where it is stored
  T* dscores;

  RowBuffers(const TopKBackward<T>& call, std::ptrdiff_t rows)
      : probabilities(rows * call.problem.top_k),
        dproducts(rows * call.problem.top_k),
        own_dscores(call.stores_dscores() ? rows * call.problem.top_k : 0),
        dscores(call.stores_dscores() ? own_dscores.data() : dproducts.data()) {}
};

struct HeadRange {
  std::ptrdiff_t begin, end;
};

// The heads of the wave that begins with a head: as many as fit into the bytes, at least one.
template <class T>
HeadRange wave_from(const TopKBackward<T>& call, std::ptrdiff_t begin) {
  constexpr std::ptrdiff_t max_bytes = std::ptrdiff_t{16} << 20;
  const std::ptrdiff_t heads = call.problem.num_items * call.problem.num_kv_heads;
  const std::ptrdiff_t max_rows =
      max_bytes / (3 * static_cast<std::ptrdiff_t>(sizeof(T)) * call.problem.top_k);
  std::ptrdiff_t end = begin + 1, rows = call.rows(begin);
  while (end < heads && rows + call.rows(end) <= max_rows) rows += call.rows(end++);
  return {begin, end};
}

template <class T>
struct Wave {
  HeadRange heads;
  RaggedRange rows;  // of the heads, each as an item of one head
  RowBuffers<T>& buffers;

  Wave(const TopKBackward<T>& call, HeadRange range, RowBuffers<T>& row_buffers)
      : heads(range),
        rows(range.end - range.begin, 1,
             [&](std::ptrdiff_t n) { return call.rows(range.begin + n); }),
        buffers(row_buffers) {}

  // Where the buffers hold a row of a head.
  std::ptrdiff_t at(const Problem& problem, std::ptrdiff_t head, std::ptrdiff_t row) const {
    return (rows.begin(head - heads.begin, 0) + row) * problem.top_k;
  }
};

}  // namespace heedful
