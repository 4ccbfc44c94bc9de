// The phases of one panel of queries against one key tile, from what is loaded to the gradients of
// the scores. The panel, neighbours of one head, is that of the areas; each phase reads and writes
// the areas' buffers by their names.
#pragma once

#include "attention/backward/call.hpp"
#include "attention/backward/key_tile.hpp"
#include "attention/backward/scratch.hpp"
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
                        const BackwardScratch<T>& scratch);

// scores[key][lane], −∞ where hidden, and cap_slope with a softcap. No keys: nothing is seen.
template <class T>
ScoreTile<T> write_scores(const BackwardCall<T>& call, std::ptrdiff_t item, KeyTile<T>& tile,
                          const BackwardScratch<T>& scratch);

// score_copy where something is hidden and something of tile or panel is NaN or ∞; else null.
template <class T>
const T* copy_scores(const ScoreTile<T>& scored, KeyTile<T>& tile, const PanelRows<T>& rows,
                     const BackwardScratch<T>& scratch);

// dprobabilities[key][lane] = value · dout + dweights
template <class T>
void write_dprobabilities(const BackwardCall<T>& call, std::ptrdiff_t item, KeyRange keys,
                          KeyTile<T>& tile, const BackwardScratch<T>& scratch,
                          RowPrefetch& prefetch);

// Of scores and dprobabilities, in one pass, and 0 where hidden:
//   probabilities[key][lane] = kept ∘ exp(score − lse)
//   dscores[key][lane] = exp(score − lse) ∘ (kept ∘ dprobabilities − delta)
template <class T>
void write_dscores(const BackwardCall<T>& call, std::ptrdiff_t item, const ScoreTile<T>& scored,
                   const BackwardScratch<T>& scratch);

// dproducts = dscores ∘ cap_slope; dscores itself without a softcap.
template <class T>
void write_dproducts(KeyRange keys, const BackwardScratch<T>& scratch);

}  // namespace heedful
