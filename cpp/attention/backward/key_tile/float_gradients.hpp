// The gradients of one key tile in T: products by the micro-kernel.
#pragma once

#include <algorithm>

#include "arrays/prefetch.hpp"
#include "attention/backward/bias_gradient.hpp"
#include "attention/backward/call.hpp"
#include "attention/backward/key_tile/additive_gradients.hpp"
#include "attention/backward/key_tile/key_tile.hpp"
#include "attention/backward/key_tile/score_gradients.hpp"
#include "attention/backward/key_tile/scratch.hpp"

namespace heedful {

template <class T>
class FloatGradients {
 public:
  using Scratch = BackwardScratch<T>;

  FloatGradients(const BackwardCall<T>& call, const BackwardTask& task, const Scratch& scratch)
      : call_(call), task_(task), scratch_(scratch), tile_(call, task, scratch) {}

  KeyRange keys() const { return tile_.keys; }

  // The panel of the scratch against the tile: adds to dKⱼ and dVⱼ, writes dQᵢ. Returns the keys
  // visible to some query.
  KeyRange add_panel(RowPrefetch& prefetch) {
    const Panel<T>& panel = *scratch_.panel;
    const KeyRange none{0, 0};
    if (std::max(panel.any.begin, tile_.keys.begin) >= std::min(panel.any.end, tile_.keys.end)) {
      return none;
    }
    const PanelRows<T> rows = load_panel(call_, task_.item, scratch_);       // Qᵢ, dOᵢ, Lᵢ, Dᵢ
    ScoreTile<T> scored = write_scores(call_, task_.item, tile_, scratch_);  // Sᵢⱼ
    if (scored.keys.empty() || !hide_zeros(call_, scored, scratch_)) return none;
    const VisibleKeys<T> visible{panel, scored.keys, copy_scores(scored, tile_, rows, scratch_)};
    write_dprobabilities(call_, task_.item, visible.keys, tile_, scratch_, prefetch);  // dPᵢⱼ
    write_dscores(call_, task_.item, scored, scratch_);                                // Pᵢⱼ, dSᵢⱼ

    tile_.start_panel(visible);
    tile_.add_dvalue(visible, scratch_.probabilities, rows.dout, prefetch);  // dVⱼ
    if (call_.problem.score_kind == ScoreKind::additive) {
      write_additive_gradients(visible);
    } else {
      write_product_gradients(visible, rows.query, prefetch);
    }
    if (scratch_.bias_sums) {
      sum_bias_gradient(panel, visible.keys.size(), scratch_.dscores,
                        scratch_.bias_sums + (visible.keys.begin - tile_.keys.begin));
    }
    return visible.keys;
  }

  // Adds the sums to the rows of the results.
  void add_to_outputs() { tile_.add_to_outputs(); }

 private:
  // dKⱼ and dQᵢ of dot-product scores, with or without softcap.
  void write_product_gradients(const VisibleKeys<T>& visible, Rows<T> query,
                               RowPrefetch& prefetch) {
    write_dproducts(visible.keys, scratch_);
    tile_.add_dkey(visible, scratch_.dproducts, query, prefetch);
    tile_.write_dquery(visible, scratch_.dproducts, scratch_.dquery, prefetch);
  }

  // dKⱼ, dQᵢ and dscore_vector of additive attention.
  void write_additive_gradients(const VisibleKeys<T>& visible) {
    const Rows<T> keys = tile_.key_rows.from(visible.keys.begin);
    additive_gradients(
        additive_tile<T>(call_.problem, visible.panel, visible.keys.size(), keys,
                         scratch_.query_panel),
        visible.panel,
        AdditiveGradients<T>{scratch_.dscores, scratch_.dquery, tile_.dkey(visible.keys.begin),
                             task_.dscore_vector, visible.score_copy != nullptr});
  }

  const BackwardCall<T>& call_;
  const BackwardTask& task_;
  const Scratch& scratch_;
  KeyTile<T> tile_;
};

}  // namespace heedful
