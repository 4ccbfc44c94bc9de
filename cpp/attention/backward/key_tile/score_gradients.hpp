// The phases of one query panel against one key tile, from loading to the gradients of the scores.
// The panel is that of the scratch, with consecutive queries of one head; each phase reads and
// writes named buffers of the scratch.
#pragma once

#include "arrays/prefetch.hpp"
#include "attention/backward/call.hpp"
#include "attention/backward/key_tile/key_tile.hpp"
#include "attention/backward/key_tile/scratch.hpp"
#include "attention/scores/score_tile.hpp"

namespace heedful {

// Rows of a panel, padded to whole vectors.
template <class T>
struct PanelRows {
  Rows<T> query, dout;
};

// Loads query and dout, as rows and as panels, base, factor and delta, and penalties.
template <class T>
PanelRows<T> load_panel(const BackwardCall<T>& call, std::ptrdiff_t item,
                        const BackwardScratch<T>& scratch);

// scores[key][lane], −∞ where hidden, and cap_derivative with a softcap. No keys: all are hidden.
template <class T>
ScoreTile<T> write_scores(const BackwardCall<T>& call, std::ptrdiff_t item, KeyTile<T>& tile,
                          const BackwardScratch<T>& scratch);

// With entmax: −∞ where the probability is 0, so that these keys count as hidden in all that
// follows. False if none is left.
template <class T>
bool hide_zeros(const BackwardCall<T>& call, ScoreTile<T>& scored,
                const BackwardScratch<T>& scratch);

// score_copy if some key is hidden and tile or panel contain NaN or ∞; else null.
template <class T>
const T* copy_scores(const ScoreTile<T>& scored, KeyTile<T>& tile, const PanelRows<T>& rows,
                     const BackwardScratch<T>& scratch);

// dprobabilities[key][lane] = value · dout + dweights
template <class T>
void write_dprobabilities(const BackwardCall<T>& call, std::ptrdiff_t item, KeyRange keys,
                          KeyTile<T>& tile, const BackwardScratch<T>& scratch,
                          RowPrefetch& prefetch);

// From scores and dprobabilities, in one pass, and 0 where hidden:
//   probabilities[key][lane] = keep_factor ∘ exp(score − lse)
//   dscores[key][lane] = exp(score − lse) ∘ (keep_factor ∘ dprobabilities − delta)
// and what penalties add (penalty/coefficients.hpp).
template <class T>
void write_dscores(const BackwardCall<T>& call, std::ptrdiff_t item, const ScoreTile<T>& scored,
                   const BackwardScratch<T>& scratch);

// dproducts = dscores ∘ cap_derivative; dscores itself without a softcap.
template <class T>
void write_dproducts(KeyRange keys, const BackwardScratch<T>& scratch);

}  // namespace heedful
