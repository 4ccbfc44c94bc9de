// How probabilities are recomputed from scores once lse is known:
//   probability = 2^(exponent · (score − base)) · factor
// For nearly all rows base is lse, as a score, and factor is 1 up to rounding. If |lse| is so large
// that its own rounding would be visible in the probabilities (scores of finfo.min, say), the row's
// maximum and sum are recomputed. Rows without visible keys have base = ∞, so that
// every score − base is −∞.
//
// With entmax, lse holds the thresholds of the rows, of RowThreshold, and base and factor are base
// and shift of softmax/entmax.hpp.
#pragma once

#include <cstddef>

#include "arrays/ragged_range.hpp"
#include "arrays/tensor_view.hpp"
#include "attention/problem/problem.hpp"
#include "attention/scores/score_tile.hpp"
#include "parallel/parallel_for.hpp"
#include "parallel/scratch.hpp"

namespace heedful {

// Whether base and factor come from the row's own maximum and sum.
template <class T>
bool needs_own_maximum(const ScoreRule<T>& rule, T lse);
// The factor if base is the maximum; `sum` is relative to it.
template <class T>
T factor_of(const ScoreRule<T>& rule, T maximum, T sum, T lse);

template <class T>
class RowScales {
 public:
  // lse (B, H, Lq) of these keys, possibly with a sink, or of more keys than these. `way`: in which
  // the scores are computed, since those of another way may differ by more than 1 if they are
  // large.
  RowScales(const Problem& problem, const TensorView& query, const TensorView& key,
            const TensorView& lse, const Team& team,
            simd::Bfloat16Way way = simd::Bfloat16Way::widened);

  T base(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t query) const {
    return bases_[rows_.begin(item, head) + query];
  }
  T factor(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t query) const {
    return factors_[rows_.begin(item, head) + query];
  }

 private:
  void set(std::ptrdiff_t row, T lse, const ScoreRule<T>& rule);
  void set_thresholds(const Problem& problem, const TensorView& thresholds);

  RaggedRange rows_;
  Buffer<T> bases_, factors_;  // (rows)
};

}  // namespace heedful
