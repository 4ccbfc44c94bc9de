// Weights and score gradients of one panel of queries against one block of keys:
//   weights[key][lane] = exp(score − lse), after dropout
//   dscores[key][lane] = weight ∘ (dropout ∘ (value · dout + dweights) − delta), 0 where hidden
// `areas.panel` says which queries; their rows, scores and, with a softcap, its slopes stay in the
// areas too.
#pragma once

#include "attention/backward_areas.hpp"
#include "attention/backward_task.hpp"
#include "attention/tile_rows.hpp"

namespace heedful {

struct GradientTile {
  KeyRange keys{0, 0};  // those computed; none of the others is seen
  bool guard =
      false;  // hidden keys or queries hold NaN or ∞: see guarded.hpp; areas.mask holds the scores
};

template <class T>
GradientTile score_gradients(const BackwardCall<T>& call, std::ptrdiff_t item, KeyRange block,
                             TileRows<T>& key_rows, TileRows<T>& value_rows,
                             const BackwardAreas<T>& areas);

}  // namespace heedful
