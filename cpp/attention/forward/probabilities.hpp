// Scores and weights themselves, for those who want to look at them:
//   scores (B, H, n, Lk)   what the softmax sees, −∞ where hidden
//   weights (B, H, n, Lk)  exp(score − lse), after dropout, 0 where hidden; lse (B, H, Lq)
//   averaged (B, n, Lk)    the mean of the weights over the heads, with no array of all heads
// n counts the rows wanted: `rows` (n) holds their queries, or is null for all. Whole rows of Lk
// numbers are written for the queries that belong to an item.
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

// `weights` has one head when the heads are averaged.
template <class T>
void attention_probabilities(const Problem& problem, const TensorView& query, const TensorView& key,
                             const TensorView& lse, const TensorView& probabilities,
                             const SelectedRows& selected, bool average_heads, const Team& team);

}  // namespace heedful
