#include "attention/prefill.hpp"

#include <algorithm>
#include <cstring>

#include "attention/dropout.hpp"
#include "attention/guarded.hpp"
#include "attention/key_tiles.hpp"
#include "attention/online_softmax.hpp"
#include "attention/panel_output.hpp"
#include "attention/work_area.hpp"

namespace heedful {
namespace {

constexpr int max_panels = 4;

template <class T>
struct Areas {
  static constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;

  std::size_t size;
  Panel<T>* panels;
  T* query_panels;  // each (D, lanes)
  T* outs;          // each (Dv, lanes)
  T* maxima;        // each (lanes)
  T* sums;
  T* raised;  // (lanes)
  T* scores;  // (tile, lanes)
  T* mask;
  T* keys;    // (tile, D), for keys that cannot be read in place
  T* values;  // (tile, Dv), likewise
  T* rows;    // (lanes, D or Dv), for queries and outputs that cannot be read or written in place

  Areas(const ForwardCall<T>& call, std::byte* scratch) {
    const Problem& problem = call.problem;
    const std::ptrdiff_t tile = KeyTiles::most(tile_keys(problem));
    WorkArea area(scratch);
    panels = area.take<Panel<T>>(max_panels);
    query_panels = area.take<T>(max_panels * problem.depth * lanes);
    outs = area.take<T>(max_panels * problem.value_depth * lanes);
    maxima = area.take<T>(max_panels * lanes);
    sums = area.take<T>(max_panels * lanes);
    raised = area.take<T>(lanes);
    scores = area.take<T>(tile * lanes);
    mask = area.take<T>(mask_tile_size<T>(tile));
    keys = area.take<T>(call.key.template in_place<T>() ? 0 : tile * padded<T>(problem.depth));
    values =
        area.take<T>(call.value.template in_place<T>() ? 0 : tile * padded<T>(problem.value_depth));
    rows = area.take<T>((lanes + 1) * std::max(problem.depth, problem.value_depth));
    size = area.size();
  }
  RunningSoftmax<T> state(const Problem& problem, int panel) const {
    return {maxima + panel * lanes, sums + panel * lanes,
            outs + panel * problem.value_depth * lanes};
  }
  T* query_panel(const Problem& problem, int panel) const {
    return query_panels + panel * problem.depth * lanes;
  }
};

template <class T>
void load_queries(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel, T* rows,
                  T* query_panel) {
  const Problem& problem = call.problem;
  const T* from[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    const std::ptrdiff_t row = problem.items[item].query_begin + panel.query[lane];
    const char* const query = call.query.row(item, panel.head[lane], row);
    if (call.query.template in_place<T>()) {
      from[lane] = reinterpret_cast<const T*>(query);
    } else {
      T* const copy = rows + lane * problem.depth;
      read_row(query, call.query.type, call.query.column_stride, copy, problem.depth);
      from[lane] = copy;
    }
  }
  rows_to_panel(from, panel.lanes(), problem.depth, call.rule.query_factor, query_panel);
}

// What became of a panel's sum of values.
enum class Outcome : unsigned char { none, in_panel, written };

// `all_keys`: the tile holds all keys that the panel may see, so that the results can be written.
template <class T>
Outcome attend(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel, int index,
               KeyRange keys, bool all_keys, Outcome before, TileRows<T>& key_rows,
               TileRows<T>& value_rows, const Areas<T>& areas) {
  const Problem& problem = call.problem;
  RunningSoftmax<T> state = areas.state(problem, index);
  const int lanes = panel.lanes();
  std::memcpy(areas.raised, state.maximum, static_cast<std::size_t>(lanes) * sizeof(T));
  const ScoreTile<T> tile =
      score_tile(problem, item, panel, keys, call.rule, areas.query_panel(problem, index), key_rows,
                 ScoreAreas<T>{areas.scores, areas.mask, areas.raised});
  if (tile.keys.empty()) return before;
  const std::ptrdiff_t count = tile.keys.size();
  const bool guard = tile.partial && problem.value_depth > 0 && !value_rows.finite();
  if (guard) {
    std::memcpy(areas.mask, areas.scores, static_cast<std::size_t>(count * lanes) * sizeof(T));
  }
  const bool summed = before == Outcome::in_panel;
  add_tile(state, areas.scores, count, lanes, summed ? problem.value_depth : 0, areas.raised,
           call.rule.exponent);
  if (problem.value_depth == 0) return before;
  if (problem.dropout_p > 0) drop(problem, item, panel, tile.keys, T{1}, areas.scores);
  const Rows<T> values = value_rows.from(tile.keys.begin);
  if (guard) {
    guarded_columns(areas.mask, areas.scores, values, count, lanes, problem.value_depth, state.out,
                    summed);
    return Outcome::in_panel;
  }
  if (all_keys && fills_vectors<T>(problem.value_depth)) {
    write_weighted(call, item, panel, state, areas.scores, count, values, areas.rows);
    return Outcome::written;
  }
  // outᵀ (+)= Vᵀ Pᵀ
  multiply(Product<T>{problem.value_depth, count, panel.vectors, values.data, 1, values.stride,
                      areas.scores, lanes, state.out, lanes, summed});
  return Outcome::in_panel;
}

}  // namespace

template <class T>
std::size_t prefill_scratch(const ForwardCall<T>& call) {
  return Areas<T>(call, nullptr).size;
}

template <class T>
void prefill(const ForwardCall<T>& call, const RowTask& task, const Part<T>& part,
             const FetchAhead& ahead, Worker& worker) {
  const Problem& problem = call.problem;
  const Item& item = problem.items[task.item];
  const Areas<T> areas(call, worker.scratch);

  // panels of nearly the same number of vectors
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  const std::ptrdiff_t vectors = (task.rows + width - 1) / width;
  const std::ptrdiff_t panels = (vectors + max_vectors - 1) / max_vectors;
  KeyRange keys{task.keys.end, task.keys.begin};
  for (std::ptrdiff_t p = 0; p < panels; ++p) {
    const std::ptrdiff_t begin = vectors * p / panels * width;
    const std::ptrdiff_t end = std::min(vectors * (p + 1) / panels * width, task.rows);
    Panel<T>& panel = areas.panels[p];
    fill(panel, problem, item, task.kv_head, task.first_row + begin, static_cast<int>(end - begin));
    load_queries(call, task.item, panel, areas.rows,
                 areas.query_panel(problem, static_cast<int>(p)));
    RunningSoftmax<T> state = areas.state(problem, static_cast<int>(p));
    for (int lane = 0; lane < panel.lanes(); ++lane) {
      start_row(state.maximum[lane], state.sum[lane], task.first_part ? problem.sink : nullptr,
                panel.head[lane]);
    }
    if (panel.some.empty()) continue;
    keys.begin = std::min(keys.begin, std::max(panel.some.begin, task.keys.begin));
    keys.end = std::max(keys.end, std::min(panel.some.end, task.keys.end));
  }

  ahead.queries();
  const KeyTiles tiles(keys, tile_keys(problem));
  Outcome outcomes[max_panels] = {};
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    const KeyRange tile = tiles[t];
    TileRows<T> key_rows(call.key, task.item, task.kv_head, item.key_begin, tile, problem.depth,
                         false, areas.keys);
    TileRows<T> value_rows(call.value, task.item, task.kv_head, item.key_begin, tile,
                           problem.value_depth, false, areas.values);
    for (std::ptrdiff_t p = 0; p < panels; ++p) {
      outcomes[p] =
          attend(call, task.item, areas.panels[p], static_cast<int>(p), tile,
                 tiles.count() == 1 && !part.sum, outcomes[p], key_rows, value_rows, areas);
      if (t == 0 && p == 0) ahead.keys();
    }
    if (t == 0) ahead.values();
  }

  for (std::ptrdiff_t p = 0; p < panels; ++p) {
    const Panel<T>& panel = areas.panels[p];
    const RunningSoftmax<T> state = areas.state(problem, static_cast<int>(p));
    if (outcomes[p] == Outcome::none) {
      std::fill_n(state.out, problem.value_depth * panel.lanes(), T{0});
    }
    if (part.sum) {
      write_part(problem, panel, vectors * p / panels * width, state, part, areas.rows);
      continue;
    }
    if (outcomes[p] != Outcome::written) write_out(call, task.item, panel, state, areas.rows);
    if (call.lse) write_lse(call, task.item, panel, state);
  }
}

template std::size_t prefill_scratch(const ForwardCall<float>&);
template std::size_t prefill_scratch(const ForwardCall<double>&);
template void prefill(const ForwardCall<float>&, const RowTask&, const Part<float>&,
                      const FetchAhead&, Worker&);
template void prefill(const ForwardCall<double>&, const RowTask&, const Part<double>&,
                      const FetchAhead&, Worker&);

}  // namespace heedful
