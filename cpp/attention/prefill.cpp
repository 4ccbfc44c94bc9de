#include "attention/prefill.hpp"

#include <algorithm>
#include <cstring>

#include "attention/dropout.hpp"
#include "attention/guarded.hpp"
#include "attention/key_tiles.hpp"
#include "attention/online_softmax.hpp"
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

// outᵀ += Vᵀ Pᵀ
template <class T>
void add_values(const Problem& problem, const Panel<T>& panel, const ScoreTile<T>& tile,
                TileRows<T>& values, const T* weights, T* out) {
  const Rows<T> rows = values.from(tile.keys.begin);
  multiply(Product<T>{problem.value_depth, tile.keys.size(), panel.vectors, rows.data, 1,
                      rows.stride, weights, panel.lanes(), out, panel.lanes(), true});
}

template <class T>
void attend(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel, int index,
            KeyRange keys, TileRows<T>& key_rows, TileRows<T>& value_rows, const Areas<T>& areas) {
  const Problem& problem = call.problem;
  RunningSoftmax<T> state = areas.state(problem, index);
  const int lanes = panel.lanes();
  std::memcpy(areas.raised, state.maximum, static_cast<std::size_t>(lanes) * sizeof(T));
  const ScoreTile<T> tile =
      score_tile(problem, item, panel, keys, call.rule, areas.query_panel(problem, index), key_rows,
                 ScoreAreas<T>{areas.scores, areas.mask, areas.raised});
  if (tile.keys.empty()) return;
  const std::ptrdiff_t count = tile.keys.size();
  const bool guard = tile.partial && problem.value_depth > 0 && !value_rows.finite();
  if (guard) {
    std::memcpy(areas.mask, areas.scores, static_cast<std::size_t>(count * lanes) * sizeof(T));
  }
  add_tile(state, areas.scores, count, lanes, problem.value_depth, areas.raised,
           call.rule.exponent);
  if (problem.value_depth == 0) return;
  if (problem.dropout_p > 0) drop(problem, item, panel, tile.keys, T{1}, areas.scores);
  if (guard) {
    guarded_columns(areas.mask, areas.scores, value_rows.from(tile.keys.begin), count, lanes,
                    problem.value_depth, state.out, true);
  } else {
    add_values(problem, panel, tile, value_rows, areas.scores, state.out);
  }
}

template <class T>
void write_results(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel,
                   const RunningSoftmax<T>& state, T* rows) {
  const Problem& problem = call.problem;
  const bool in_place = call.out.template in_place<T>();
  alignas(64) T factors[Panel<T>::max_lanes];
  T* to[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    const Row row{panel.head[lane], panel.query[lane]};
    factors[lane] = normalizer(state.sum[lane], call.dropout_factor);
    // lanes without a row share one
    to[lane] = rows + std::min(lane, panel.count) * problem.value_depth;
    if (lane >= panel.count) continue;
    if (in_place) {
      to[lane] = reinterpret_cast<T*>(
          call.out.row(item, row.head, problem.items[item].query_begin + row.query));
    }
    write_lse(call, item, row,
              log_sum_exp(state.maximum[lane], state.sum[lane], call.rule.natural));
  }
  panel_to_rows(state.out, panel.lanes(), problem.value_depth, factors, to);
  if (in_place) return;
  for (int lane = 0; lane < panel.count; ++lane) {
    const std::ptrdiff_t row = problem.items[item].query_begin + panel.query[lane];
    write_row(to[lane], call.out.row(item, panel.head[lane], row), call.out.type,
              call.out.column_stride, problem.value_depth);
  }
}

template <class T>
void write_part(const Problem& problem, const Panel<T>& panel, std::ptrdiff_t first_row,
                const RunningSoftmax<T>& state, const Part<T>& part, T* rows) {
  alignas(64) T factors[Panel<T>::max_lanes];
  T* to[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    factors[lane] = 1;
    to[lane] = lane < panel.count ? part.out + (first_row + lane) * problem.value_depth : rows;
  }
  panel_to_rows(state.out, panel.lanes(), problem.value_depth, factors, to);
  std::copy_n(state.maximum, panel.count, part.maximum + first_row);
  std::copy_n(state.sum, panel.count, part.sum + first_row);
}

}  // namespace

template <class T>
std::size_t prefill_scratch(const ForwardCall<T>& call) {
  return Areas<T>(call, nullptr).size;
}

template <class T>
void prefill(const ForwardCall<T>& call, const RowTask& task, const Part<T>& part, Worker& worker) {
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
    std::fill_n(state.out, problem.value_depth * panel.lanes(), T{0});
    if (panel.some.empty()) continue;
    keys.begin = std::min(keys.begin, std::max(panel.some.begin, task.keys.begin));
    keys.end = std::max(keys.end, std::min(panel.some.end, task.keys.end));
  }

  const KeyTiles tiles(keys, tile_keys(problem));
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    const KeyRange tile = tiles[t];
    TileRows<T> key_rows(call.key, task.item, task.kv_head, item.key_begin, tile, problem.depth,
                         false, areas.keys);
    TileRows<T> value_rows(call.value, task.item, task.kv_head, item.key_begin, tile,
                           problem.value_depth, false, areas.values);
    for (std::ptrdiff_t p = 0; p < panels; ++p) {
      attend(call, task.item, areas.panels[p], static_cast<int>(p), tile, key_rows, value_rows,
             areas);
    }
  }

  for (std::ptrdiff_t p = 0; p < panels; ++p) {
    const RunningSoftmax<T> state = areas.state(problem, static_cast<int>(p));
    if (part.sum) {
      write_part(problem, areas.panels[p], vectors * p / panels * width, state, part, areas.rows);
    } else {
      write_results(call, task.item, areas.panels[p], state, areas.rows);
    }
  }
}

template std::size_t prefill_scratch(const ForwardCall<float>&);
template std::size_t prefill_scratch(const ForwardCall<double>&);
template void prefill(const ForwardCall<float>&, const RowTask&, const Part<float>&, Worker&);
template void prefill(const ForwardCall<double>&, const RowTask&, const Part<double>&, Worker&);

}  // namespace heedful
