// Merges attention over splits of the keys: the results over each split become the result over all.
//   out = Σ_p exp(lse_p − lse) out_p        lse = ln Σ_p exp(lse_p)
//   outs[p], out (B, H, Lq, Dv)   lses[p], lse (B, H, Lq)
// The splits are added in order. A row without visible keys in any split gets out = 0 and lse = −∞;
// the out of a split whose lse is −∞ is ignored.
#pragma once

#include "arrays/tensor_view.hpp"
#include "parallel/cost.hpp"

namespace heedful {

struct MergeSizes {
  std::ptrdiff_t splits, num_items, num_heads, rows, depth;
};

inline Cost cost_of(const MergeSizes& sizes) {
  const double rows = static_cast<double>(sizes.num_items * sizes.num_heads * sizes.rows);
  const double splits = static_cast<double>(sizes.splits), depth = static_cast<double>(sizes.depth);
  return {rows * splits * depth, rows * splits * depth, rows * (splits + depth)};
}

template <class T>
void merge_attention(const MergeSizes& sizes, const TensorView* outs, const TensorView* lses,
                     const TensorView& out, const TensorView& lse, const Team& team);

}  // namespace heedful
