#include "attention/forward/probabilities/probabilities.hpp"

#include <algorithm>
#include <type_traits>

#include "arrays/panel_transposes.hpp"
#include "arrays/ragged_range.hpp"
#include "arrays/work_area.hpp"
#include "attention/forward/panels/products.hpp"
#include "attention/forward/probabilities/call_without_values.hpp"
#include "attention/forward/probabilities/row_scale.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/normalizer.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

template <class Products>
struct Scratch {
  using T = typename Products::Scalar;
  static constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;

  WorkArea area;
  Products products;
  Panel<T>* panel;
  T* query_rows;  // (lanes, D)
  T* base;        // (lanes): probability = 2^(exponent · (score − base)) · factor
  T* factor;      // (lanes)
  T* scores;      // (tile, lanes)
  T* mask;
  T* transposed;  // (lanes, tile)

  Scratch(const ForwardCall<T>& call, std::byte* memory) : area(memory), products(call, 1, area) {
    const std::ptrdiff_t tile = KeyTiles::max_keys(tile_keys(call.problem));
    panel = area.take<Panel<T>>(1);
    query_rows = area.take<T>(lanes * call.problem.depth);
    base = area.take<T>(lanes);
    factor = area.take<T>(lanes);
    scores = area.take<T>(tile * lanes);
    mask = area.take<T>(mask_tile_size<T>(tile));
    transposed = area.take<T>(lanes * tile);
  }
};

// How a tile of scores is converted to results.
template <class T>
struct ScoresCall {
  const ForwardCall<T>& forward;
  const RowScales<T>* scales;  // null: the results are scores
  const TensorView& result;
  const SelectedRows& selected;
  T factor;  // of probabilities: dropout's, and 1 / H of an average; of scores: to natural units
  T hidden_value;  // the result of a hidden key
};

template <class Products, class T>
void load_panel(const ScoresCall<T>& call, std::ptrdiff_t item, std::ptrdiff_t head,
                const std::ptrdiff_t* queries, int count, const Scratch<Products>& scratch) {
  const Problem& problem = call.forward.problem;
  Panel<T>& panel = *scratch.panel;
  for (int lane = 0; lane < count; ++lane) {
    set_lane(panel, lane, problem, problem.items[item], head, queries[lane]);
  }
  finish_panel(panel, problem, problem.items[item], count);
  scratch.products.load_queries(item, panel, 0, scratch.query_rows);
  for (int lane = 0; call.scales && lane < panel.lanes(); ++lane) {
    scratch.base[lane] = call.scales->base(item, head, panel.query[lane]);
    scratch.factor[lane] = call.scales->factor(item, head, panel.query[lane]);
  }
}

template <class Products, class T>
void to_probabilities(const ScoresCall<T>& call, std::ptrdiff_t item, KeyRange keys,
                      const Scratch<Products>& scratch) {
  const Panel<T>& panel = *scratch.panel;
  const auto minus_infinities = simd::broadcast(minus_infinity<T>);
  with_normalizer(call.forward.rule, panel.head[0], [&](const auto& normalizer) {
    T* score = scratch.scores;
    for (std::ptrdiff_t key = 0; key < keys.size(); ++key) {
      for (int lane = 0; lane < panel.lanes(); lane += simd::lanes<T>, score += simd::lanes<T>) {
        const auto value = simd::load(score);
        const auto probability = normalizer.probability(value, simd::load(scratch.base + lane),
                                                        simd::load(scratch.factor + lane));
        // a selection, not a product: lse is NaN if an attended score is NaN
        simd::store(score, simd::select(simd::equal(value, minus_infinities), simd::broadcast(T{0}),
                                        probability));
      }
    }
  });
  const Problem& problem = call.forward.problem;
  if (problem.dropout_p > 0) apply_dropout(problem, item, panel, keys, T{1}, scratch.scores);
}

// Adds or writes one head's rows: result[lane][key], from index `first` of the selected rows.
template <class Products, class T>
void run_panel(const ScoresCall<T>& call, std::ptrdiff_t item, std::ptrdiff_t head,
               std::ptrdiff_t result_head, std::ptrdiff_t first, const Scratch<Products>& scratch,
               Worker& worker) {
  const ScoreRule<T>& rule = call.forward.rule;
  const Problem& problem = call.forward.problem;
  const Panel<T>& panel = *scratch.panel;
  const RowTask task{item,        head / problem.group(),        0,
                     panel.count, {0, problem.items[item].keys}, 0};
  RowPrefetch nothing;
  alignas(64) T factors[Panel<T>::max_lanes];
  std::fill_n(factors, Panel<T>::max_lanes, call.factor);
  const KeyTiles tiles(panel.any, tile_keys(problem), BlockRows(problem, panel));
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    const TilePlan<T> plan = plan_tile(problem, item, panel, tiles[t], rule, scratch.mask);
    if (plan.keys.empty()) continue;
    typename Products::Tile tile(scratch.products, task, tiles[t]);
    tile.score(panel, 0, plan.keys, scratch.scores, nullptr, nothing);
    finish_tile(problem, item, panel, plan, rule, ScoreBuffers<T>{scratch.scores, scratch.mask});
    if (call.scales) to_probabilities(call, item, plan.keys, scratch);
    const std::ptrdiff_t count = plan.keys.size();
    T* rows[Panel<T>::max_lanes];
    for (int lane = 0; lane < panel.lanes(); ++lane) rows[lane] = scratch.transposed + lane * count;
    panel_to_rows(scratch.scores, panel.lanes(), count, factors, rows);
    for (int lane = 0; lane < panel.count; ++lane) {
      T* const to =
          reinterpret_cast<T*>(call.result.row(item, result_head, first + lane)) + plan.keys.begin;
      if (call.scales) {
        for (std::ptrdiff_t key = 0; key < count; ++key) to[key] += rows[lane][key];
      } else {
        std::copy_n(rows[lane], count, to);
      }
    }
  }
}

template <class Products, class T>
void run(const ScoresCall<T>& call, bool average_heads, const Team& team) {
  const Problem& problem = call.forward.problem;
  constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;
  const RaggedRange panels(
      problem.num_items, average_heads ? 1 : problem.num_heads, [&](std::ptrdiff_t item) {
        const std::ptrdiff_t own = problem.items[item].queries;
        const std::ptrdiff_t count =
            call.selected.rows ? call.selected.count : std::min(call.selected.count, own);
        return (count + lanes - 1) / lanes;
      });
  const auto body = [&](std::ptrdiff_t index, Worker& worker) {
    const auto [item, result_head, panel] = panels[index];
    const Scratch<Products> scratch(call.forward, worker.scratch);
    const std::ptrdiff_t queries = problem.items[item].queries;
    const std::ptrdiff_t end = std::min((panel + 1) * lanes, call.selected.count);
    for (std::ptrdiff_t first = panel * lanes; first < end;) {
      // a run of selected rows that belong to the item
      std::ptrdiff_t chosen[lanes];
      int count = 0;
      for (; first + count < end; ++count) {
        const std::ptrdiff_t query =
            call.selected.rows ? call.selected.rows[first + count] : first + count;
        if (query >= queries) break;
        chosen[count] = query;
        std::fill_n(reinterpret_cast<T*>(call.result.row(item, result_head, first + count)),
                    call.selected.key_rows, call.hidden_value);
      }
      if (count == 0) {
        ++first;
        continue;
      }
      const std::ptrdiff_t first_head = average_heads ? 0 : result_head;
      const std::ptrdiff_t end_head = average_heads ? problem.num_heads : result_head + 1;
      for (std::ptrdiff_t head = first_head; head < end_head; ++head) {
        load_panel(call, item, head, chosen, count, scratch);
        run_panel(call, item, head, result_head, first, scratch, worker);
      }
      first += count;
    }
  };
  parallel_for(panels.size(), threads_for(cost_of(problem), team),
               Scratch<Products>(call.forward, nullptr).area.size(), body);
}

template <class T>
void run(const ScoresCall<T>& call, bool average_heads, const Team& team) {
  with_products(call.forward, [&](auto* products) {
    run<std::remove_pointer_t<decltype(products)>>(call, average_heads, team);
  });
}

}  // namespace

template <class T>
void attention_scores(const Problem& problem, const TensorView& query, const TensorView& key,
                      const TensorView& scores, const SelectedRows& selected, const Team& team) {
  const CallWithoutValues<T> inputs(problem, query, key, problem.bfloat16.products);
  const ForwardCall<T>& forward = inputs.call;
  const ScoresCall<T> call{forward,          nullptr, scores, selected, forward.rule.natural,
                           minus_infinity<T>};
  run(call, false, team);
}

template <class T>
void attention_probabilities(const Problem& problem, const TensorView& query, const TensorView& key,
                             const TensorView& lse, const TensorView& probabilities,
                             const SelectedRows& selected, bool average_heads, const Team& team) {
  const simd::Bfloat16Way way = problem.bfloat16.products;
  const CallWithoutValues<T> inputs(problem, query, key, way);
  const RowScales<T> scales(problem, query, key, lse, threads_for(cost_of(problem), team), way);
  const double heads = average_heads ? static_cast<double>(problem.num_heads) : 1;
  const T factor = static_cast<T>(dropout_factor(problem) / heads);
  const ScoresCall<T> call{inputs.call, &scales, probabilities, selected, factor, T{0}};
  run(call, average_heads, team);
}

template void attention_scores<float>(const Problem&, const TensorView&, const TensorView&,
                                      const TensorView&, const SelectedRows&, const Team&);
template void attention_scores<double>(const Problem&, const TensorView&, const TensorView&,
                                       const TensorView&, const SelectedRows&, const Team&);
template void attention_probabilities<float>(const Problem&, const TensorView&, const TensorView&,
                                             const TensorView&, const TensorView&,
                                             const SelectedRows&, bool, const Team&);
template void attention_probabilities<double>(const Problem&, const TensorView&, const TensorView&,
                                              const TensorView&, const TensorView&,
                                              const SelectedRows&, bool, const Team&);

}  // namespace heedful
