#include "attention/forward/prefill.hpp"

#include <algorithm>
#include <cstring>

#include "arrays/work_area.hpp"
#include "attention/forward/panel_output.hpp"
#include "attention/forward/products.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"
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

constexpr int max_panels = 4;

// `Products` computes the two products; softmax, masks and bias are computed in T.
template <class Products>
struct Scratch {
  using T = typename Products::Scalar;
  static constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;

  WorkArea area;
  Products products;
  Panel<T>* panels;
  T* outs;    // each (Dv + Products::extra_rows, lanes)
  T* maxima;  // each (lanes)
  T* sums;
  T* new_maximum;  // (lanes)
  T* scores;       // (tile, lanes)
  T* mask;         // (tile, lanes): the buffer of mask_tile; then a copy of the scores
  T* rows;  // (lanes, D or Dv), for queries and outputs that cannot be read or written in place

  Scratch(const ForwardCall<T>& call, std::byte* memory)
      : area(memory), products(call, max_panels, area) {
    const Problem& problem = call.problem;
    const std::ptrdiff_t tile = KeyTiles::max_keys(tile_keys(problem));
    panels = area.take<Panel<T>>(max_panels);
    outs = area.take<T>(max_panels * out_rows(problem) * lanes);
    maxima = area.take<T>(max_panels * lanes);
    sums = area.take<T>(max_panels * lanes);
    new_maximum = area.take<T>(lanes);
    scores = area.take<T>((Products::rows_before + tile) * lanes) + Products::rows_before * lanes;
    mask = area.take<T>(std::max(tile * lanes, mask_tile_size<T>(tile)));
    rows = area.take<T>((lanes + 1) * std::max(problem.depth, problem.value_depth));
  }
  RunningSoftmax<T> state(const Problem& problem, std::ptrdiff_t panel) const {
    return {maxima + panel * lanes, sums + panel * lanes, outs + panel * out_rows(problem) * lanes};
  }
  // The rows that are accumulated over all keys, and rescaled where the maximum grows.
  static std::ptrdiff_t out_rows(const Problem& problem) {
    return problem.value_depth + Products::extra_rows;
  }
};

// Where a panel's weighted sum of values is.
enum class Outcome : unsigned char { none, in_panel, written };

// `all_keys`: the tile holds all keys visible to the panel, so that the results can be written.
template <class Products, class T>
Outcome process_tile(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel,
                     int index, KeyRange keys, bool all_keys, Outcome before,
                     typename Products::Tile& tile, const Scratch<Products>& scratch,
                     RowPrefetch& prefetch) {
  const Problem& problem = call.problem;
  RunningSoftmax<T> state = scratch.state(problem, index);
  const int lanes = panel.lanes();
  const TilePlan<T> plan = plan_tile(problem, item, panel, keys, call.rule, scratch.mask);
  if (plan.keys.empty()) return before;
  std::memcpy(scratch.new_maximum, state.maximum, static_cast<std::size_t>(lanes) * sizeof(T));
  tile.score(panel, index, plan.keys, scratch.scores, plan.changes ? nullptr : scratch.new_maximum,
             prefetch);
  const bool partial =
      finish_tile(problem, item, panel, plan, call.rule,
                  ScoreBuffers<T>{scratch.scores, scratch.mask, scratch.new_maximum})
          .partial;
  const std::ptrdiff_t count = plan.keys.size();
  const bool select = problem.value_depth > 0 && tile.must_select(plan.keys, partial);
  if (select) {
    std::memcpy(scratch.mask, scratch.scores, static_cast<std::size_t>(count * lanes) * sizeof(T));
  }
  const bool accumulate = before == Outcome::in_panel;
  with_normalizer(call.rule, [&](const auto& normalizer) {
    add_tile(normalizer, state, scratch.scores, count, lanes,
             accumulate ? scratch.out_rows(problem) : 0, scratch.new_maximum);
  });
  if (problem.value_depth == 0) return before;
  if (problem.dropout_p > 0) apply_dropout(problem, item, panel, plan.keys, T{1}, scratch.scores);
  if (select) {
    tile.add_visible_values(panel, plan.keys, scratch.mask, scratch.scores, state.out, accumulate);
    return Outcome::in_panel;
  }
  if constexpr (Products::writes_results) {
    if (all_keys && writes_weighted<T>(problem.value_depth, count)) {
      tile.write_results(item, panel, plan.keys, scratch.scores, state, scratch.rows, prefetch);
      return Outcome::written;
    }
  }
  tile.add_values(panel, plan.keys, scratch.scores, state.out, accumulate, prefetch);
  return Outcome::in_panel;
}

template <class Products, class T>
void run(const ForwardCall<T>& call, const RowTask& task, const KeySplit<T>& split,
         RowPrefetch& next, Worker& worker) {
  const Problem& problem = call.problem;
  const Item& item = problem.items[task.item];
  const Scratch<Products> scratch(call, worker.scratch);

  // panels of nearly the same number of vectors
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  const std::ptrdiff_t vectors = (task.rows + width - 1) / width;
  const std::ptrdiff_t panels = (vectors + max_vectors - 1) / max_vectors;
  KeyRange keys{task.keys.end, task.keys.begin};
  Outcome outcomes[max_panels];
  for (std::ptrdiff_t p = 0; p < panels; ++p) {
    const std::ptrdiff_t begin = vectors * p / panels * width;
    const std::ptrdiff_t end = std::min(vectors * (p + 1) / panels * width, task.rows);
    Panel<T>& panel = scratch.panels[p];
    fill_panel(panel, problem, item, task.kv_head, task.first_row + begin,
               static_cast<int>(end - begin));
    scratch.products.load_queries(task.item, panel, static_cast<int>(p), scratch.rows);
    RunningSoftmax<T> state = scratch.state(problem, p);
    for (int lane = 0; lane < panel.lanes(); ++lane) {
      start_row(state.maximum[lane], state.sum[lane], task.key_split == 0 ? problem.sink : nullptr,
                panel.head[lane], call.rule.unit);
    }
    outcomes[p] = scratch.products.start(panel, state) ? Outcome::in_panel : Outcome::none;
    if (panel.any.empty()) continue;
    keys.begin = std::min(keys.begin, std::max(panel.any.begin, task.keys.begin));
    keys.end = std::max(keys.end, std::min(panel.any.end, task.keys.end));
  }

  const KeyTiles tiles(keys, tile_keys(problem));
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    typename Products::Tile tile(scratch.products, task, tiles[t]);
    for (std::ptrdiff_t p = 0; p < panels; ++p) {
      outcomes[p] =
          process_tile(call, task.item, scratch.panels[p], static_cast<int>(p), tiles[t],
                       tiles.count() == 1 && !split.sum, outcomes[p], tile, scratch, next);
    }
  }

  for (std::ptrdiff_t p = 0; p < panels; ++p) {
    const Panel<T>& panel = scratch.panels[p];
    const RunningSoftmax<T> state = scratch.state(problem, p);
    if (outcomes[p] == Outcome::none) {
      std::fill_n(state.out, problem.value_depth * panel.lanes(), T{0});
    }
    if (outcomes[p] != Outcome::written) scratch.products.finish(panel, state);
    if (split.sum) {
      write_split(problem, panel, vectors * p / panels * width, state, split, scratch.rows);
      continue;
    }
    if (outcomes[p] != Outcome::written) write_out(call, task.item, panel, state, scratch.rows);
    if (call.lse) write_lse(call, task.item, panel, state);
  }
}

}  // namespace

template <class T>
std::size_t prefill_scratch(const ForwardCall<T>& call) {
  return with_products(call, [&](auto* products) {
    return Scratch<std::remove_pointer_t<decltype(products)>>(call, nullptr).area.size();
  });
}

template <class T>
void start_prefill(const ForwardCall<T>& call, Worker& worker) {
  with_products(call, [&](auto* products) {
    Scratch<std::remove_pointer_t<decltype(products)>>(call, worker.scratch).products.clear();
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
