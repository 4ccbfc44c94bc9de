// The probabilities (the public API's weights) of attention to the problem's top_k keys: as
// forward/probabilities.hpp, and 0 for keys that are not kept.
#pragma once

#include "attention/forward/probabilities/probabilities.hpp"

namespace heedful {

// lse (B, H, Lq) of top_k_forward. Without average_heads probabilities (B, H, n, Lk), with it
// (B, n, Lk), as a view with one head.
template <class T>
void top_k_probabilities(const Problem& problem, const TensorView& query, const TensorView& key,
                         const TensorView& lse, const TensorView& probabilities,
                         const SelectedRows& selected, bool average_heads, const Team& team);

}  // namespace heedful
