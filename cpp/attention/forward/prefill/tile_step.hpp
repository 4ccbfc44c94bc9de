// One step of prefill: a key tile added to the softmax state of one query panel.
#pragma once

#include <cstddef>
#include <cstring>

#include "attention/forward/panels/panel_output.hpp"
#include "attention/forward/prefill/task.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/score_maximum.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/dropped_block.hpp"
#include "attention/softmax/online_softmax.hpp"

namespace heedful {

// The recurrence, for one query panel (lanes) and one key tile after another, with m, l, O for
// maximum, sum, out before the tile and m', l', O' after it:
//   S  = K Qᵀ, scaled, capped, biased, masked    scratch.scores        tile.score, finish_tile
//   m' = max(m, max_key S)                       scratch.new_maximum   tile.score or finish_tile
//   P  = 2^(S − m')                              scratch.scores        add_tile
//   l' = 2^(m − m') l + Σ_key P                  state.sum             add_tile
//   O' = 2^(m − m') O + Vᵀ P                     state.out             add_tile, tile.add_values
// and at the end out = O / l, lse = m + log l (panel_output.hpp). Exponents are multiplied by the
// ScoreRule's exponent. (Dao et al., "FlashAttention", 2022, algorithm 1.)

// `all_keys`: the tile holds all keys visible to panel p, so that the results can be written.
// Returns the keys whose weights are left in scratch.scores: those that some row sees, none if they
// were dropped.
template <class Products, class T>
KeyRange add_key_tile(const ForwardCall<T>& call, std::ptrdiff_t item, PrefillTask<Products>& task,
                      std::ptrdiff_t p, KeyRange keys, bool all_keys, typename Products::Tile& tile,
                      const PrefillScratch<Products>& scratch, RowPrefetch& prefetch) {
  const Problem& problem = call.problem;
  const Panel<T>& panel = task.panel(p);
  const int index = static_cast<int>(p);
  Outcome& outcome = task.outcomes[p];
  RunningSoftmax<T> state = scratch.state(problem, p);
  const int lanes = panel.lanes();
  const TilePlan<T> plan = plan_tile(problem, item, panel, keys, call.rule, scratch.mask[0]);
  if (plan.keys.empty()) return plan.keys;
  T* const scores = scratch.scores[0];
  T* const new_maximum = scratch.new_maximum[0];
  const DroppedBlocks<T> dropped(problem, call.rule);
  std::memcpy(new_maximum, state.maximum, static_cast<std::size_t>(lanes) * sizeof(T));
  if (dropped) dropped.set_limits(state.maximum, lanes, new_maximum);
  tile.score(panel, index, plan.keys, scores, plan.changes ? nullptr : new_maximum, prefetch);
  const bool partial = finish_tile(problem, item, panel, plan, call.rule,
                                   ScoreBuffers<T>{scores, scratch.mask[0], new_maximum})
                           .partial;
  const std::ptrdiff_t count = plan.keys.size();
  if (dropped) {
    if (dropped.all_small(state.maximum, new_maximum, scores, count, lanes)) {
      dropped.drop(panel, plan.keys.begin);
      return {plan.keys.begin, plan.keys.begin};
    }
    raise_maximum(state.maximum, lanes, new_maximum);
  }
  const bool select = problem.value_depth > 0 && tile.must_select(plan.keys, partial);
  if (select) {
    std::memcpy(scratch.seen, scores, static_cast<std::size_t>(count * lanes) * sizeof(T));
  }
  const bool accumulate = outcome == Outcome::in_panel;
  with_normalizer(call.rule, [&](const auto& normalizer) {
    add_tile(normalizer, state, scores, count, lanes, accumulate ? scratch.out_rows(problem) : 0,
             new_maximum);
  });
  if (problem.value_depth == 0) return plan.keys;
  if (problem.dropout_p > 0) apply_dropout(problem, item, panel, plan.keys, T{1}, scores);
  if (select) {
    tile.add_visible_values(panel, plan.keys, scratch.seen, scores, state.out, accumulate);
    outcome = Outcome::in_panel;
  } else if (all_keys && writes_weighted<T>(problem.value_depth, count)) {
    tile.write_results(item, panel, plan.keys, scores, state, scratch.rows, prefetch);
    outcome = Outcome::written;
  } else {
    tile.add_values(panel, plan.keys, scores, state.out, accumulate, prefetch);
    outcome = Outcome::in_panel;
  }
  return plan.keys;
}

}  // namespace heedful
