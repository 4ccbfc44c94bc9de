#include "attention/forward/weights.hpp"

#include <algorithm>
#include <limits>

#include "arrays/ragged_range.hpp"
#include "arrays/work_area.hpp"
#include "attention/forward/row_scale.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/normalizer.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

template <class T>
struct Areas {
  static constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;

  std::size_t size;
  Panel<T>* panel;
  T* query_rows;   // (lanes, D)
  T* query_panel;  // (D, lanes)
  T* base;         // (lanes): weight = 2^(exponent · (score − base)) · factor
  T* factor;       // (lanes)
  T* scores;       // (tile, lanes)
  T* mask;
  T* turned;  // (lanes, tile)
  T* keys;    // (tile, D)

  Areas(const Problem& problem, std::byte* scratch) {
    const std::ptrdiff_t tile = KeyTiles::most(tile_keys(problem));
    WorkArea area(scratch);
    panel = area.take<Panel<T>>(1);
    query_rows = area.take<T>(lanes * problem.depth);
    query_panel = area.take<T>(problem.depth * lanes);
    base = area.take<T>(lanes);
    factor = area.take<T>(lanes);
    scores = area.take<T>(tile * lanes);
    mask = area.take<T>(mask_tile_size<T>(tile));
    turned = area.take<T>(lanes * tile);
    keys = area.take<T>(tile * padded<T>(problem.depth));
    size = area.size();
  }
};

// The tensors of the call, and the rule that turns a tile of scores into what is returned.
template <class T>
struct Call {
  const Problem& problem;
  const TensorView& query;
  const TensorView& key;
  const RowScales<T>* scales;  // null: scores are wanted
  const TensorView& result;
  const WantedRows& wanted;
  ScoreRule<T> rule;
  T factor;  // of weights: dropout's, and 1 / H of an average; of scores: what makes them natural
  T hidden;  // what stands for a hidden key
};

template <class T>
void load_panel(const Call<T>& call, std::ptrdiff_t item, std::ptrdiff_t head,
                const std::ptrdiff_t* queries, int count, const Areas<T>& areas) {
  const Problem& problem = call.problem;
  Panel<T>& panel = *areas.panel;
  for (int lane = 0; lane < count; ++lane) {
    set_lane(panel, lane, problem, problem.items[item], head, queries[lane]);
  }
  finish(panel, count);
  const T* from[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    const std::ptrdiff_t row = problem.items[item].query_begin + panel.query[lane];
    T* const copy = areas.query_rows + lane * problem.depth;
    read_row(call.query.row(item, head, row), call.query.type, call.query.column_stride, copy,
             problem.depth);
    from[lane] = copy;
    if (!call.scales) continue;
    areas.base[lane] = call.scales->base(item, head, panel.query[lane]);
    areas.factor[lane] = call.scales->factor(item, head, panel.query[lane]);
  }
  rows_to_panel(from, panel.lanes(), problem.depth, call.rule.query_factor, areas.query_panel);
}

template <class T>
void to_weights(const Call<T>& call, std::ptrdiff_t item, KeyRange keys, const Areas<T>& areas) {
  const Panel<T>& panel = *areas.panel;
  const auto hidden = simd::broadcast(-std::numeric_limits<T>::infinity());
  with_normalizer(call.rule, [&](const auto& normalizer) {
    T* score = areas.scores;
    for (std::ptrdiff_t key = 0; key < keys.size(); ++key) {
      for (int lane = 0; lane < panel.lanes(); lane += simd::lanes<T>, score += simd::lanes<T>) {
        const auto value = simd::load(score);
        const auto weight = normalizer.probability(value, simd::load(areas.base + lane),
                                                   simd::load(areas.factor + lane));
        // selected: lse is NaN where something attended is NaN
        simd::store(score, simd::select(simd::equal(value, hidden), simd::broadcast(T{0}), weight));
      }
    }
  });
  if (call.problem.dropout_p > 0) drop(call.problem, item, panel, keys, T{1}, areas.scores);
}

// Adds or writes one head's rows: result[lane][key], from index `first` of the rows wanted.
template <class T>
void run_panel(const Call<T>& call, std::ptrdiff_t item, std::ptrdiff_t head,
               std::ptrdiff_t result_head, std::ptrdiff_t first, const Areas<T>& areas,
               Worker& worker) {
  const Problem& problem = call.problem;
  const Panel<T>& panel = *areas.panel;
  const Item& place = problem.items[item];
  alignas(64) T factors[Panel<T>::max_lanes];
  std::fill_n(factors, Panel<T>::max_lanes, call.factor);
  const KeyTiles tiles(panel.some, tile_keys(problem));
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    const KeyRange keys = tiles[t];
    TileRows<T> key_rows(call.key, item, head / problem.group(), place.key_begin, keys,
                         problem.depth, false, areas.keys);
    const ScoreTile<T> tile = score_tile(problem, item, panel, keys, call.rule, areas.query_panel,
                                         key_rows, ScoreAreas<T>{areas.scores, areas.mask});
    if (tile.keys.empty()) continue;
    if (call.scales) to_weights(call, item, tile.keys, areas);
    const std::ptrdiff_t count = tile.keys.size();
    T* rows[Panel<T>::max_lanes];
    for (int lane = 0; lane < panel.lanes(); ++lane) rows[lane] = areas.turned + lane * count;
    panel_to_rows(areas.scores, panel.lanes(), count, factors, rows);
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
void run(const Call<T>& call, bool average_heads, const Team& team) {
  const Problem& problem = call.problem;
  constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;
  const RaggedRange panels(
      problem.num_items, average_heads ? 1 : problem.num_heads, [&](std::ptrdiff_t item) {
        const std::ptrdiff_t own = problem.items[item].queries;
        const std::ptrdiff_t count =
            call.wanted.rows ? call.wanted.count : std::min(call.wanted.count, own);
        return (count + lanes - 1) / lanes;
      });
  const auto body = [&](std::ptrdiff_t index, Worker& worker) {
    const auto [item, result_head, panel] = panels[index];
    const Areas<T> areas(problem, worker.scratch);
    const std::ptrdiff_t queries = problem.items[item].queries;
    const std::ptrdiff_t end = std::min((panel + 1) * lanes, call.wanted.count);
    for (std::ptrdiff_t first = panel * lanes; first < end;) {
      // a run of wanted rows that belong to the item
      std::ptrdiff_t chosen[lanes];
      int count = 0;
      for (; first + count < end; ++count) {
        const std::ptrdiff_t query =
            call.wanted.rows ? call.wanted.rows[first + count] : first + count;
        if (query >= queries) break;
        chosen[count] = query;
        std::fill_n(reinterpret_cast<T*>(call.result.row(item, result_head, first + count)),
                    call.wanted.key_rows, call.hidden);
      }
      if (count == 0) {
        ++first;
        continue;
      }
      const std::ptrdiff_t first_head = average_heads ? 0 : result_head;
      const std::ptrdiff_t end_head = average_heads ? problem.num_heads : result_head + 1;
      for (std::ptrdiff_t head = first_head; head < end_head; ++head) {
        load_panel(call, item, head, chosen, count, areas);
        run_panel(call, item, head, result_head, first, areas, worker);
      }
      first += count;
    }
  };
  parallel_for(panels.size(), threads_for(cost_of(problem), team), Areas<T>(problem, nullptr).size,
               body);
}

}  // namespace

template <class T>
void attention_scores(const Problem& problem, const TensorView& query, const TensorView& key,
                      const TensorView& scores, const WantedRows& wanted, const Team& team) {
  const ScoreRule<T> rule = score_rule<T>(problem);
  const Call<T> call{problem, query,        key,
                     nullptr, scores,       wanted,
                     rule,    rule.natural, -std::numeric_limits<T>::infinity()};
  run(call, false, team);
}

template <class T>
void attention_weights(const Problem& problem, const TensorView& query, const TensorView& key,
                       const TensorView& lse, const TensorView& weights, const WantedRows& wanted,
                       bool average_heads, const Team& team) {
  const double heads = average_heads ? static_cast<double>(problem.num_heads) : 1;
  const RowScales<T> scales(problem, query, key, lse, threads_for(cost_of(problem), team));
  const Call<T> call{problem,
                     query,
                     key,
                     &scales,
                     weights,
                     wanted,
                     score_rule<T>(problem),
                     static_cast<T>(dropout_factor(problem) / heads),
                     T{0}};
  run(call, average_heads, team);
}

template void attention_scores<float>(const Problem&, const TensorView&, const TensorView&,
                                      const TensorView&, const WantedRows&, const Team&);
template void attention_scores<double>(const Problem&, const TensorView&, const TensorView&,
                                       const TensorView&, const WantedRows&, const Team&);
template void attention_weights<float>(const Problem&, const TensorView&, const TensorView&,
                                       const TensorView&, const TensorView&, const WantedRows&,
                                       bool, const Team&);
template void attention_weights<double>(const Problem&, const TensorView&, const TensorView&,
                                        const TensorView&, const TensorView&, const WantedRows&,
                                        bool, const Team&);

}  // namespace heedful
