// The scores and probabilities (the public API's weights) as results:
//   scores (B, H, n, Lk)         input of the softmax, −∞ where hidden
//   probabilities (B, H, n, Lk)  exp(score − lse), after dropout, 0 where hidden; lse (B, H, Lq)
//   averaged (B, n, Lk)          the mean over the heads, without an array of all heads
// n is the number of selected rows: `rows` (n) holds their queries, or is null for all. Whole rows
// of Lk elements are written for the queries that belong to an item.
#pragma once

#include "arrays/tensor_view.hpp"
#include "attention/problem/problem.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

struct SelectedRows {
  const std::int64_t* rows = nullptr;
  std::ptrdiff_t count = 0;     // n
  std::ptrdiff_t key_rows = 0;  // Lk
};

template <class T>
void attention_scores(const Problem& problem, const TensorView& query, const TensorView& key,
                      const TensorView& scores, const SelectedRows& selected, const Team& team);

// `probabilities` has one head if the heads are averaged.
template <class T>
void attention_probabilities(const Problem& problem, const TensorView& query, const TensorView& key,
                             const TensorView& lse, const TensorView& probabilities,
                             const SelectedRows& selected, bool average_heads, const Team& team);

}  // namespace heedful
