#include "attention/forward/probabilities.hpp"

#include <algorithm>

#include "arrays/ragged_range.hpp"
#include "arrays/work_area.hpp"
#include "attention/forward/row_scale.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/normalizer.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

template <class T>
struct Scratch {
  static constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;

  std::size_t size;
  Panel<T>* panel;
  T* query_rows;   // (lanes, D)
  T* query_panel;  // (D, lanes)
  T* base;         // (lanes): probability = 2^(exponent · (score − base)) · factor
  T* factor;       // (lanes)
  T* scores;       // (tile, lanes)
  T* mask;
  T* transposed;  // (lanes, tile)
  T* keys;        // (tile, D)

  Scratch(const Problem& problem, std::byte* memory) {
    const std::ptrdiff_t tile = KeyTiles::max_keys(tile_keys(problem));
    WorkArea area(memory);
    panel = area.take<Panel<T>>(1);
    query_rows = area.take<T>(lanes * problem.depth);
    query_panel = area.take<T>(problem.depth * lanes);
    base = area.take<T>(lanes);
    factor = area.take<T>(lanes);
    scores = area.take<T>(tile * lanes);
    mask = area.take<T>(mask_tile_size<T>(tile));
    transposed = area.take<T>(lanes * tile);
    keys = area.take<T>(tile * padded<T>(problem.depth));
    size = area.size();
  }
};

// The tensors of the call, and how a tile of scores is converted to results.
template <class T>
struct ScoresCall {
  const Problem& problem;
  const TensorView& query;
  const TensorView& key;
  const RowScales<T>* scales;  // null: the results are scores
  const TensorView& result;
  const SelectedRows& selected;
  ScoreRule<T> rule;
  T factor;  // of probabilities: dropout's, and 1 / H of an average; of scores: to natural units
  T hidden_value;  // the result of a hidden key
};

template <class T>
void load_panel(const ScoresCall<T>& call, std::ptrdiff_t item, std::ptrdiff_t head,
                const std::ptrdiff_t* queries, int count, const Scratch<T>& scratch) {
  const Problem& problem = call.problem;
  Panel<T>& panel = *scratch.panel;
  for (int lane = 0; lane < count; ++lane) {
    set_lane(panel, lane, problem, problem.items[item], head, queries[lane]);
  }
  finish_panel(panel, count);
  const T* from[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    const std::ptrdiff_t row = problem.items[item].query_begin + panel.query[lane];
    T* const copy = scratch.query_rows + lane * problem.depth;
    read_row(call.query.row(item, head, row), call.query.type, call.query.column_stride, copy,
             problem.depth);
    from[lane] = copy;
    if (!call.scales) continue;
    scratch.base[lane] = call.scales->base(item, head, panel.query[lane]);
    scratch.factor[lane] = call.scales->factor(item, head, panel.query[lane]);
  }
  rows_to_panel(from, panel.lanes(), problem.depth, call.rule.query_factor, scratch.query_panel);
}

template <class T>
void to_probabilities(const ScoresCall<T>& call, std::ptrdiff_t item, KeyRange keys,
                      const Scratch<T>& scratch) {
  const Panel<T>& panel = *scratch.panel;
  const auto minus_infinities = simd::broadcast(minus_infinity<T>);
  with_normalizer(call.rule, [&](const auto& normalizer) {
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
  if (call.problem.dropout_p > 0)
    apply_dropout(call.problem, item, panel, keys, T{1}, scratch.scores);
}

// Adds or writes one head's rows: result[lane][key], from index `first` of the selected rows.
template <class T>
void run_panel(const ScoresCall<T>& call, std::ptrdiff_t item, std::ptrdiff_t head,
               std::ptrdiff_t result_head, std::ptrdiff_t first, const Scratch<T>& scratch,
               Worker& worker) {
  const Problem& problem = call.problem;
  const Panel<T>& panel = *scratch.panel;
  const Item& place = problem.items[item];
  alignas(64) T factors[Panel<T>::max_lanes];
  std::fill_n(factors, Panel<T>::max_lanes, call.factor);
  const KeyTiles tiles(panel.any, tile_keys(problem));
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    const KeyRange keys = tiles[t];
    TileRows<T> key_rows(call.key, item, head / problem.group(), place.key_begin, keys,
                         problem.depth, InPlace::any_stride, scratch.keys);
    const ScoreTile<T> tile = score_tile(problem, item, panel, keys, call.rule, scratch.query_panel,
                                         key_rows, ScoreBuffers<T>{scratch.scores, scratch.mask});
    if (tile.keys.empty()) continue;
    if (call.scales) to_probabilities(call, item, tile.keys, scratch);
    const std::ptrdiff_t count = tile.keys.size();
    T* rows[Panel<T>::max_lanes];
    for (int lane = 0; lane < panel.lanes(); ++lane) rows[lane] = scratch.transposed + lane * count;
    panel_to_rows(scratch.scores, panel.lanes(), count, factors, rows);
    for (int lane = 0; lane < panel.count; ++lane) {
      T* const to =
          reinterpret_cast<T*>(call.result.row(item, result_head, first + lane)) + tile.keys.begin;
      if (call.scales) {
        for (std::ptrdiff_t key = 0; key < count; ++key) to[key] += rows[lane][key];
      } else {
        std::copy_n(rows[lane], count, to);
      }
    }
  }
}

template <class T>
void run(const ScoresCall<T>& call, bool average_heads, const Team& team) {
  const Problem& problem = call.problem;
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
    const Scratch<T> scratch(problem, worker.scratch);
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
               Scratch<T>(problem, nullptr).size, body);
}

}  // namespace

template <class T>
void attention_scores(const Problem& problem, const TensorView& query, const TensorView& key,
                      const TensorView& scores, const SelectedRows& selected, const Team& team) {
  const ScoreRule<T> rule = score_rule<T>(problem);
  const ScoresCall<T> call{problem,  query, key,          nullptr,          scores,
                           selected, rule,  rule.natural, minus_infinity<T>};
  run(call, false, team);
}

template <class T>
void attention_probabilities(const Problem& problem, const TensorView& query, const TensorView& key,
                             const TensorView& lse, const TensorView& probabilities,
                             const SelectedRows& selected, bool average_heads, const Team& team) {
  const double heads = average_heads ? static_cast<double>(problem.num_heads) : 1;
  const RowScales<T> scales(problem, query, key, lse, threads_for(cost_of(problem), team));
  const ScoresCall<T> call{problem,
                           query,
                           key,
                           &scales,
                           probabilities,
                           selected,
                           score_rule<T>(problem),
                           static_cast<T>(dropout_factor(problem) / heads),
                           T{0}};
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
