// The sums over each row's visible keys that penalties of it and their gradients are made of:
//   statistics (B, H, Lq, 7): Σ p²   −Σ p log p   Σ |s|   Σ s²   keys   Σ t   Σ t (log t − log p)
//   p = exp(s − lse)   s the score in natural units   t the target, t log t = 0 for t = 0
// lse (B, H, Lq) of the forward pass. Only what is asked for is written; rows without visible keys
// get 0. Nothing else overlaps.
//
// A task is some query panels of a key/value head, against one key tile after another: no row of
// scores is stored. Sums of a tile are formed in T, those of the tiles in double, so that rows have
// the same bits for any number of items, heads and threads.
#pragma once

#include "arrays/tensor_view.hpp"
#include "attention/problem/problem.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

inline constexpr int row_statistics_count = 7;

struct StatisticsWanted {
  bool probabilities, scores;  // the first two; the next three
  TensorView target;           // (B, H, Lq, Lk) of T, axes broadcast: the last two, if there is one
};

template <class T>
void row_statistics(const Problem& problem, const TensorView& query, const TensorView& key,
                    const TensorView& lse, const TensorView& statistics,
                    const StatisticsWanted& wanted, const Team& team);

}  // namespace heedful
