// Weights and score gradients of one panel of queries against one block of keys:
//   weights[key][lane] = exp(score − lse), after dropout
//   dscores[key][lane] = weight ∘ (dropout ∘ (value · dout + dweights) − delta), 0 where hidden
// `areas.panel` says which queries: neighbours of one head. With a softcap, its slopes stay in the
// areas too.
#pragma once

#include "attention/backward/areas.hpp"
#include "attention/backward/task.hpp"
#include "attention/scores/tile_rows.hpp"
#include "kernels/product_prefetch.hpp"

namespace heedful {

template <class T>
struct GradientTile {
  KeyRange keys{0, 0};  // those computed; none of the others is seen
  // hidden keys or queries hold NaN or ∞: see nonfinite.hpp; areas.mask holds the scores
  bool guard = false;
  Rows<T> query{nullptr, 0}, dout{nullptr, 0};  // of the panel, in whole vectors
};

template <class T>
GradientTile<T> score_gradients(const BackwardCall<T>& call, std::ptrdiff_t item, KeyRange block,
                                TileRows<T>& key_rows, TileRows<T>& value_rows,
                                const BackwardAreas<T>& areas, RowPrefetch& prefetch);

}  // namespace heedful
