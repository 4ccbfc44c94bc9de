#include "attention/forward/prefill.hpp"

#include <algorithm>
#include <cstring>

#include "arrays/work_area.hpp"
#include "attention/forward/bfloat16_products.hpp"
#include "attention/forward/float_products.hpp"
#include "attention/forward/panel_output.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/online_softmax.hpp"

namespace heedful {
namespace {

// The recurrence, for one panel of queries (lanes) and one tile of keys after the other, with
// m, l, O for maximum, sum, out before the tile and m', l', O' after it:
//   S  = K Qᵀ, scaled, capped, biased, hidden      areas.scores   tile.score, finish_tile
//   m' = max(m, max_key S)                         areas.raised   in the epilogue of the product
//   P  = 2^(S − m')                                areas.scores   add_tile
//   l' = 2^(m − m') l + Σ_key P                    state.sum      add_tile
//   O' = 2^(m − m') O + Vᵀ P                       state.out      add_tile, tile.add_values
// and at the end out = O / l, lse = m + log l (panel_output.hpp). Powers are of the ScoreRule's
// exponent. (Dao et al., "FlashAttention", 2022, algorithm 1.)

constexpr int max_panels = 4;

// `Products` does the multiplications; the softmax and all that restricts it work on numbers T.
template <class Products>
struct Areas {
  using T = typename Products::Number;
  static constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;

  WorkArea area;
  Products products;
  Panel<T>* panels;
  T* outs;    // each (Dv + Products::more_rows, lanes)
  T* maxima;  // each (lanes)
  T* sums;
  T* raised;  // (lanes)
  T* scores;  // (tile, lanes)
  T* mask;    // (tile, lanes): what mask_tile needs; then a copy of the scores
  T* rows;    // (lanes, D or Dv), for queries and outputs that cannot be read or written in place

  Areas(const ForwardCall<T>& call, std::byte* scratch)
      : area(scratch), products(call, max_panels, area) {
    const Problem& problem = call.problem;
    const std::ptrdiff_t tile = KeyTiles::most(tile_keys(problem));
    panels = area.take<Panel<T>>(max_panels);
    outs = area.take<T>(max_panels * out_rows(problem) * lanes);
    maxima = area.take<T>(max_panels * lanes);
    sums = area.take<T>(max_panels * lanes);
    raised = area.take<T>(lanes);
    scores = area.take<T>(tile * lanes);
    mask = area.take<T>(std::max(tile * lanes, mask_tile_size<T>(tile)));
    rows = area.take<T>((lanes + 1) * std::max(problem.depth, problem.value_depth));
  }
  RunningSoftmax<T> state(const Problem& problem, std::ptrdiff_t panel) const {
    return {maxima + panel * lanes, sums + panel * lanes, outs + panel * out_rows(problem) * lanes};
  }
  // What is summed up to the end, and shrinks where a maximum rises.
  static std::ptrdiff_t out_rows(const Problem& problem) {
    return problem.value_depth + Products::more_rows;
  }
};

// What became of a panel's sum of values.
enum class Outcome : unsigned char { none, in_panel, written };

// `all_keys`: the tile holds all keys that the panel may see, so that the results can be written.
template <class Products, class T>
Outcome attend(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel, int index,
               KeyRange keys, bool all_keys, Outcome before, typename Products::Tile& tile,
               const Areas<Products>& areas) {
  const Problem& problem = call.problem;
  RunningSoftmax<T> state = areas.state(problem, index);
  const int lanes = panel.lanes();
  const TilePlan<T> plan = plan_tile(problem, item, panel, keys, call.rule, areas.mask);
  if (plan.keys.empty()) return before;
  std::memcpy(areas.raised, state.maximum, static_cast<std::size_t>(lanes) * sizeof(T));
  tile.score(panel, index, plan.keys, areas.scores, plan.changes ? nullptr : areas.raised);
  const bool partial = finish_tile(problem, item, panel, plan, call.rule,
                                   ScoreAreas<T>{areas.scores, areas.mask, areas.raised})
                           .partial;
  const std::ptrdiff_t count = plan.keys.size();
  const bool select = problem.value_depth > 0 && tile.must_select(plan.keys, partial);
  if (select) {
    std::memcpy(areas.mask, areas.scores, static_cast<std::size_t>(count * lanes) * sizeof(T));
  }
  const bool summed = before == Outcome::in_panel;
  with_normalizer(call.rule, [&](const auto& normalizer) {
    add_tile(normalizer, state, areas.scores, count, lanes, summed ? areas.out_rows(problem) : 0,
             areas.raised);
  });
  if (problem.value_depth == 0) return before;
  if (problem.dropout_p > 0) drop(problem, item, panel, plan.keys, T{1}, areas.scores);
  if (select) {
    tile.add_seen_values(panel, plan.keys, areas.mask, areas.scores, state.out, summed);
    return Outcome::in_panel;
  }
  if (all_keys && writes_weighted<T>(problem.value_depth, count)) {
    tile.write_results(item, panel, plan.keys, areas.scores, state, areas.rows);
    return Outcome::written;
  }
  tile.add_values(panel, plan.keys, areas.scores, state.out, summed);
  return Outcome::in_panel;
}

template <class Products, class T>
void run(const ForwardCall<T>& call, const RowTask& task, const KeySplit<T>& part,
         const NextTask& ahead, Worker& worker) {
  const Problem& problem = call.problem;
  const Item& item = problem.items[task.item];
  const Areas<Products> areas(call, worker.scratch);

  // panels of nearly the same number of vectors
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  const std::ptrdiff_t vectors = (task.rows + width - 1) / width;
  const std::ptrdiff_t panels = (vectors + max_vectors - 1) / max_vectors;
  KeyRange keys{task.keys.end, task.keys.begin};
  Outcome outcomes[max_panels];
  for (std::ptrdiff_t p = 0; p < panels; ++p) {
    const std::ptrdiff_t begin = vectors * p / panels * width;
    const std::ptrdiff_t end = std::min(vectors * (p + 1) / panels * width, task.rows);
    Panel<T>& panel = areas.panels[p];
    fill(panel, problem, item, task.kv_head, task.first_row + begin, static_cast<int>(end - begin));
    areas.products.load_queries(task.item, panel, static_cast<int>(p), areas.rows);
    RunningSoftmax<T> state = areas.state(problem, p);
    for (int lane = 0; lane < panel.lanes(); ++lane) {
      start_row(state.maximum[lane], state.sum[lane], task.key_split == 0 ? problem.sink : nullptr,
                panel.head[lane], call.rule.unit);
    }
    outcomes[p] = areas.products.start(panel, state) ? Outcome::in_panel : Outcome::none;
    if (panel.some.empty()) continue;
    keys.begin = std::min(keys.begin, std::max(panel.some.begin, task.keys.begin));
    keys.end = std::max(keys.end, std::min(panel.some.end, task.keys.end));
  }

  ahead.queries();
  const KeyTiles tiles(keys, tile_keys(problem));
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    typename Products::Tile tile(areas.products, task, tiles[t]);
    for (std::ptrdiff_t p = 0; p < panels; ++p) {
      outcomes[p] = attend(call, task.item, areas.panels[p], static_cast<int>(p), tiles[t],
                           tiles.count() == 1 && !part.sum, outcomes[p], tile, areas);
      if (t == 0 && p == 0) ahead.keys();
    }
    if (t == 0) ahead.values();
  }

  for (std::ptrdiff_t p = 0; p < panels; ++p) {
    const Panel<T>& panel = areas.panels[p];
    const RunningSoftmax<T> state = areas.state(problem, p);
    if (outcomes[p] == Outcome::none) {
      std::fill_n(state.out, problem.value_depth * panel.lanes(), T{0});
    }
    if (outcomes[p] != Outcome::written) areas.products.finish(panel, state);
    if (part.sum) {
      write_part(problem, panel, vectors * p / panels * width, state, part, areas.rows);
      continue;
    }
    if (outcomes[p] != Outcome::written) write_out(call, task.item, panel, state, areas.rows);
    if (call.lse) write_lse(call, task.item, panel, state);
  }
}

// The module has code that multiplies pairs of bfloat16, and T is what they are summed in.
template <class T>
inline constexpr bool may_pair = simd::compiled_bfloat16_pairs && sizeof(T) == sizeof(float);

}  // namespace

template <class T>
std::size_t prefill_scratch(const ForwardCall<T>& call) {
  if constexpr (may_pair<T>) {
    if (PairProducts::run(call)) return Areas<PairProducts>(call, nullptr).area.size();
  }
  return Areas<FloatProducts<T>>(call, nullptr).area.size();
}

template <class T>
void prefill(const ForwardCall<T>& call, const RowTask& task, const KeySplit<T>& part,
             const NextTask& ahead, Worker& worker) {
  if constexpr (may_pair<T>) {
    if (PairProducts::run(call)) return run<PairProducts>(call, task, part, ahead, worker);
  }
  run<FloatProducts<T>>(call, task, part, ahead, worker);
}

template std::size_t prefill_scratch(const ForwardCall<float>&);
template std::size_t prefill_scratch(const ForwardCall<double>&);
template void prefill(const ForwardCall<float>&, const RowTask&, const KeySplit<float>&,
                      const NextTask&, Worker&);
template void prefill(const ForwardCall<double>&, const RowTask&, const KeySplit<double>&,
                      const NextTask&, Worker&);

}  // namespace heedful
