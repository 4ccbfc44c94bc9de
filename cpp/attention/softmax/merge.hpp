// Attention over keys that live in pieces: results over each piece become the result over all.
//   out = Σ_p exp(lse_p − lse) out_p        lse = ln Σ_p exp(lse_p)
//   outs[p], out (B, H, Lq, Dv)   lses[p], lse (B, H, Lq)
// The pieces are added in their order. A row that saw nothing in any piece gets out = 0 and lse =
// −∞; what a piece that saw nothing holds never matters.
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
