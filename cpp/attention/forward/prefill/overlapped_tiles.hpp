// The loop over key tiles for products that the tile unit computes: while it multiplies, the vector
// units weigh the scores of another block (query panel and key tile). Of three blocks that follow
// one another, each in a buffer of its own, at the same time
//   the first   O += Vᵀ P          tile unit
//   the second  P = 2^(S − m')     vector units, a step after each block of the products' depth
//   the third   S = K Qᵀ           tile unit
// A block whose weights are dropped or whose values must be selected is weighed by itself.
#pragma once

#include <cstddef>
#include <cstring>
#include <optional>

#include "attention/forward/prefill/task.hpp"
#include "attention/scores/score_maximum.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/dropped_block.hpp"
#include "attention/softmax/rounded_tile.hpp"
#include "kernels/rounded_weights.hpp"
#include "kernels/side_work.hpp"

namespace heedful {

template <class Products, class Normalizer>
class OverlappedTiles {
  using Tile = typename Products::Tile;
  using Task = PrefillTask<Products>;
  static constexpr int max_lanes = Panel<float>::max_lanes;

  struct Block {
    std::ptrdiff_t panel = 0;
    Tile* tile = nullptr;
    TilePlan<float> plan;
    float *scores = nullptr, *new_maximum = nullptr;  // scores become words of weights
    bool partial = false, selects = false, rescales = false, added = false;
    alignas(64) float factors[max_lanes];  // of the sums so far, if `rescales`

    bool empty() const { return plan.keys.empty(); }
  };

 public:
  OverlappedTiles(const ForwardCall<float>& call, const RowTask& row_task, Task& task,
                  const Normalizer& normalizer, const PrefillScratch<Products>& scratch,
                  RowPrefetch& prefetch)
      : call_(call),
        row_task_(row_task),
        task_(task),
        normalizer_(normalizer),
        scratch_(scratch),
        prefetch_(prefetch),
        dropped_(call.problem, call.rule) {}

  void run(const KeyTiles& tiles, Worker& worker) {
    const std::ptrdiff_t panels = task_.panels(), count = tiles.count() * panels;
    if (count == 0) return;
    plan(0, tiles);
    score(0);
    for (std::ptrdiff_t index = 0; index < count; ++index) {
      if (index % panels == 0) worker.check();
      const bool last = index + 1 == count;
      if (!last) plan(index + 1, tiles);
      finish_scores(index);
      if (weighs_in_steps(index)) {
        weigh_beside_products(index, last);
      } else {
        add_before(index);
        if (!last) score(index + 1);
        weigh(index);
      }
    }
    add(count - 1);
  }

 private:
  Block& of(std::ptrdiff_t index) { return blocks_[index % Products::blocks]; }
  const Panel<float>& panel_of(std::ptrdiff_t index) { return task_.panel(of(index).panel); }
  RunningSoftmax<float> state_of(std::ptrdiff_t index) {
    return scratch_.state(call_.problem, of(index).panel);
  }
  bool begins_odd(std::ptrdiff_t index) { return of(index).plan.keys.begin % 2 != 0; }

  void plan(std::ptrdiff_t index, const KeyTiles& tiles) {
    const std::ptrdiff_t buffer = index % Products::blocks, t = index / task_.panels();
    Block& block = of(index);
    block.panel = index % task_.panels();
    if (block.panel == 0)
      tiles_[t % Products::blocks].emplace(scratch_.products, row_task_, tiles[t]);
    block.tile = &*tiles_[t % Products::blocks];
    block.plan = plan_tile(call_.problem, row_task_.item, panel_of(index), tiles[t], call_.rule,
                           scratch_.mask[buffer]);
    block.scores = scratch_.scores[buffer];
    block.new_maximum = scratch_.new_maximum[buffer];
    block.selects = block.rescales = block.partial = block.added = false;
  }

  // The maximum of the products alone: the running one is not known yet.
  void score(std::ptrdiff_t index, SideWork* side = nullptr) {
    Block& block = of(index);
    if (block.empty()) return;
    std::fill_n(block.new_maximum, panel_of(index).lanes(), minus_infinity<float>);
    block.tile->score(panel_of(index), static_cast<int>(block.panel), block.plan.keys, block.scores,
                      block.plan.changes ? nullptr : block.new_maximum, prefetch_, side);
  }

  void finish_scores(std::ptrdiff_t index) {
    Block& block = of(index);
    if (block.empty()) return;
    block.partial =
        finish_tile(call_.problem, row_task_.item, panel_of(index), block.plan, call_.rule,
                    ScoreBuffers<float>{block.scores, scratch_.mask[index % Products::blocks],
                                        block.new_maximum})
            .partial;
    const float* const maximum = state_of(index).maximum;
    const int lanes = panel_of(index).lanes();
    if (dropped_ && dropped_.all_small(maximum, block.new_maximum, block.scores,
                                       block.plan.keys.size(), lanes)) {
      dropped_.drop(panel_of(index), block.plan.keys.begin);
      block.plan.keys.end = block.plan.keys.begin;
      return;
    }
    raise_maximum(maximum, lanes, block.new_maximum);
  }

  // Not with dropout, nor where values must be selected.
  bool weighs_in_steps(std::ptrdiff_t index) {
    Block& block = of(index);
    if (block.empty()) return false;
    if (call_.problem.value_depth > 0 && block.tile->may_select(block.plan.keys, block.partial)) {
      add_before(index);  // must_select may load the values of a new tile in place of the last ones
      block.selects = block.tile->must_select(block.plan.keys, block.partial);
    }
    return !block.selects && call_.problem.dropout_p == 0;
  }

  void weigh_beside_products(std::ptrdiff_t index, bool last) {
    Block& block = of(index);
    const Products& products = scratch_.products;
    const int lanes = panel_of(index).lanes();
    RunningSoftmax<float> state = state_of(index);
    float* const rounded_sum = products.rounded_sum(panel_of(index), state);
    RoundedTile<Normalizer> weighing(normalizer_, block.scores, block.plan.keys.size(), lanes,
                                     begins_odd(index));
    block.rescales = weighing.start(state, rounded_sum, lanes, block.new_maximum, block.factors);
    std::ptrdiff_t turns = 0;
    if (index > 0 && !of(index - 1).added) {
      turns += products.turns_of_values(panel_of(index - 1), of(index - 1).plan.keys);
    }
    if (!last) turns += products.turns_of_scores(panel_of(index + 1), of(index + 1).plan.keys);
    weighing.spread(turns);
    add_before(index, &weighing);
    if (!last) score(index + 1, &weighing);
    weighing.finish();
    weighing.add_sums(state, rounded_sum, lanes);
  }

  // The weights of a block, as the steps of RoundedTile compute them, with dropout or a copy of the
  // scores.
  void weigh(std::ptrdiff_t index) {
    Block& block = of(index);
    if (block.empty()) return;
    const int lanes = panel_of(index).lanes();
    const std::ptrdiff_t count = block.plan.keys.size();
    RunningSoftmax<float> state = state_of(index);
    if (block.selects) {
      std::memcpy(scratch_.seen, block.scores,
                  static_cast<std::size_t>(count * lanes) * sizeof(float));
    }
    const bool in_panel = task_.outcomes[block.panel] == Outcome::in_panel;
    add_tile(normalizer_, state, block.scores, count, lanes,
             in_panel ? scratch_.out_rows(call_.problem) : 0, block.new_maximum);
    if (call_.problem.dropout_p > 0) {
      apply_dropout(call_.problem, row_task_.item, panel_of(index), block.plan.keys, 1.0f,
                    block.scores);
    }
    pair_weights(block.scores, count, lanes, begins_odd(index),
                 reinterpret_cast<std::uint32_t*>(block.scores),
                 scratch_.products.rounded_sum(panel_of(index), state));
  }

  void add_before(std::ptrdiff_t index, SideWork* side = nullptr) {
    if (index > 0) add(index - 1, side);
  }
  // Once for each block.
  void add(std::ptrdiff_t index, SideWork* side = nullptr) {
    Block& block = of(index);
    if (block.added || block.empty() || call_.problem.value_depth == 0) return;
    block.added = true;
    const Panel<float>& panel = panel_of(index);
    float* const out = state_of(index).out;
    Outcome& outcome = task_.outcomes[block.panel];
    const bool accumulate = outcome == Outcome::in_panel;
    if (accumulate && block.rescales) {
      scale_columns(out, call_.problem.value_depth, panel.lanes(), block.factors);
    }
    if (block.selects) {
      block.tile->add_visible_values(panel, block.plan.keys, scratch_.seen, block.scores, out,
                                     accumulate);
    } else {
      block.tile->add_values(panel, block.plan.keys, block.scores, out, accumulate, prefetch_,
                             side);
    }
    outcome = Outcome::in_panel;
  }

  const ForwardCall<float>& call_;
  const RowTask& row_task_;
  Task& task_;
  const Normalizer normalizer_;
  const PrefillScratch<Products>& scratch_;
  RowPrefetch& prefetch_;
  const DroppedBlocks<float> dropped_;
  Block blocks_[Products::blocks];
  std::optional<Tile> tiles_[Products::blocks];  // of each block, at most
};

}  // namespace heedful
