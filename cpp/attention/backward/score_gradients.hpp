// The phases of one panel of queries against one key tile, from what is loaded to the gradients of
// the scores. The panel, neighbours of one head, is that of the areas; each phase reads and writes
// the areas' buffers by their names.
#pragma once

#include "attention/backward/areas.hpp"
#include "attention/backward/call.hpp"
#include "attention/backward/key_tile.hpp"
#include "attention/scores/score_tile.hpp"
#include "kernels/product_prefetch.hpp"

namespace heedful {

// Rows of a panel, in whole vectors.
template <class T>
struct PanelRows {
  Rows<T> query, dout;
};

// Loads query and dout, as rows and as panels, and base, factor and delta.
template <class T>
PanelRows<T> load_panel(const BackwardCall<T>& call, std::ptrdiff_t item,
                        const BackwardAreas<T>& areas);

// scores[key][lane], −∞ where hidden, and cap_slope with a softcap. No keys: nothing is seen.
template <class T>
ScoreTile<T> write_scores(const BackwardCall<T>& call, std::ptrdiff_t item, KeyTile<T>& tile,
                          const BackwardAreas<T>& areas);

// score_copy where something is hidden and something of tile or panel is NaN or ∞; else null.
template <class T>
const T* copy_scores(const ScoreTile<T>& seen, KeyTile<T>& tile, const PanelRows<T>& rows,
                     const BackwardAreas<T>& areas);

// dprobabilities[key][lane] = value · dout + dweights
template <class T>
void write_dprobabilities(const BackwardCall<T>& call, std::ptrdiff_t item, KeyRange keys,
                          KeyTile<T>& tile, const BackwardAreas<T>& areas, RowPrefetch& prefetch);

// Of scores and dprobabilities, in one pass, and 0 where hidden:
//   probabilities[key][lane] = kept ∘ exp(score − lse)
//   dscores[key][lane] = exp(score − lse) ∘ (kept ∘ dprobabilities − delta)
template <class T>
void write_dscores(const BackwardCall<T>& call, std::ptrdiff_t item, const ScoreTile<T>& seen,
                   const BackwardAreas<T>& areas);

// dproducts = dscores ∘ cap_slope; dscores itself without a softcap.
template <class T>
void write_dproducts(KeyRange keys, const BackwardAreas<T>& areas);

}  // namespace heedful
