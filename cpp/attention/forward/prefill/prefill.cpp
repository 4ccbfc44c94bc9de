#include "attention/forward/prefill/prefill.hpp"

#include <algorithm>
#include <cstring>

#include "attention/forward/panels/products.hpp"
#include "attention/forward/prefill/overlapped_tiles.hpp"
#include "attention/forward/prefill/task.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/score_maximum.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/dropped_block.hpp"
#include "attention/softmax/online_softmax.hpp"

namespace heedful {
namespace {

// The recurrence, for one query panel (lanes) and one key tile after another, with m, l, O for
// maximum, sum, out before the tile and m', l', O' after it:
//   S  = K Qᵀ, scaled, capped, biased, masked    scratch.scores        tile.score, finish_tile
//   m' = max(m, max_key S)                       scratch.new_maximum   tile.score or finish_tile
//   P  = 2^(S − m')                              scratch.scores        add_tile
//   l' = 2^(m − m') l + Σ_key P                  state.sum             add_tile
//   O' = 2^(m − m') O + Vᵀ P                     state.out             add_tile, tile.add_values
// and at the end out = O / l, lse = m + log l (panel_output.hpp). Exponents are multiplied by the
// ScoreRule's exponent. (Dao et al., "FlashAttention", 2022, algorithm 1.)

// `all_keys`: the tile holds all keys visible to the panel, so that the results can be written.
template <class Products, class T>
Outcome process_tile(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel,
                     int index, KeyRange keys, bool all_keys, Outcome before,
                     typename Products::Tile& tile, const PrefillScratch<Products>& scratch,
                     RowPrefetch& prefetch) {
  const Problem& problem = call.problem;
  RunningSoftmax<T> state = scratch.state(problem, index);
  const int lanes = panel.lanes();
  const TilePlan<T> plan = plan_tile(problem, item, panel, keys, call.rule, scratch.mask[0]);
  if (plan.keys.empty()) return before;
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
      return before;
    }
    raise_maximum(state.maximum, lanes, new_maximum);
  }
  const bool select = problem.value_depth > 0 && tile.must_select(plan.keys, partial);
  if (select) {
    std::memcpy(scratch.seen, scores, static_cast<std::size_t>(count * lanes) * sizeof(T));
  }
  const bool accumulate = before == Outcome::in_panel;
  with_normalizer(call.rule, [&](const auto& normalizer) {
    add_tile(normalizer, state, scores, count, lanes, accumulate ? scratch.out_rows(problem) : 0,
             new_maximum);
  });
  if (problem.value_depth == 0) return before;
  if (problem.dropout_p > 0) apply_dropout(problem, item, panel, plan.keys, T{1}, scores);
  if (select) {
    tile.add_visible_values(panel, plan.keys, scratch.seen, scores, state.out, accumulate);
    return Outcome::in_panel;
  }
  if (all_keys && writes_weighted<T>(problem.value_depth, count)) {
    tile.write_results(item, panel, plan.keys, scores, state, scratch.rows, prefetch);
    return Outcome::written;
  }
  tile.add_values(panel, plan.keys, scores, state.out, accumulate, prefetch);
  return Outcome::in_panel;
}

template <class Products, class T>
void run(const ForwardCall<T>& call, const RowTask& row_task, const KeySplit<T>& split,
         RowPrefetch& next, Worker& worker) {
  const PrefillScratch<Products> scratch(call, worker.scratch);
  PrefillTask<Products> task(call, row_task, scratch);
  BlockRows blocks(call.problem, row_task.rows);
  for (std::ptrdiff_t p = 0; p < task.panels(); ++p) blocks.add(task.panel(p));
  const KeyTiles tiles(task.keys(), tile_keys(call.problem), blocks);
  if constexpr (Products::blocks > 1) {
    with_normalizer(call.rule, [&](const auto& normalizer) {
      OverlappedTiles(call, row_task, task, normalizer, scratch, next).run(tiles, worker);
    });
  } else {
    const bool all_keys = tiles.count() == 1 && !split.sum;
    for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
      worker.check();
      typename Products::Tile tile(scratch.products, row_task, tiles[t]);
      for (std::ptrdiff_t p = 0; p < task.panels(); ++p) {
        task.outcomes[p] = process_tile(call, row_task.item, task.panel(p), static_cast<int>(p),
                                        tiles[t], all_keys, task.outcomes[p], tile, scratch, next);
      }
    }
  }
  task.write(split);
}

}  // namespace

template <class T>
std::size_t prefill_scratch(const ForwardCall<T>& call) {
  return with_products(call, [&](auto* products) {
    return PrefillScratch<std::remove_pointer_t<decltype(products)>>(call, nullptr).area.size();
  });
}

template <class T>
void start_prefill(const ForwardCall<T>& call, Worker& worker) {
  with_products(call, [&](auto* products) {
    PrefillScratch<std::remove_pointer_t<decltype(products)>>(call, worker.scratch)
        .products.clear();
  });
}

template <class T>
void prefill(const ForwardCall<T>& call, const RowTask& task, const KeySplit<T>& split,
             RowPrefetch& next, Worker& worker) {
  with_products(call, [&](auto* products) {
    run<std::remove_pointer_t<decltype(products)>>(call, task, split, next, worker);
  });
}

template std::size_t prefill_scratch(const ForwardCall<float>&);
template std::size_t prefill_scratch(const ForwardCall<double>&);
template void start_prefill(const ForwardCall<float>&, Worker&);
template void start_prefill(const ForwardCall<double>&, Worker&);
template void prefill(const ForwardCall<float>&, const RowTask&, const KeySplit<float>&,
                      RowPrefetch&, Worker&);
template void prefill(const ForwardCall<double>&, const RowTask&, const KeySplit<double>&,
                      RowPrefetch&, Worker&);

}  // namespace heedful
