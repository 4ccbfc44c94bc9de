#include "attention/forward/overflow.hpp"

#include <algorithm>

#include "arrays/panel_transposes.hpp"
#include "arrays/work_area.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/score_maximum.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/scores/tile_rows.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/online_softmax.hpp"
#include "attention/softmax/scaled_mean.hpp"
#include "kernels/nonfinite.hpp"

namespace heedful {
namespace {

template <class T>
struct Scratch {
  static constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;

  std::size_t size;
  Panel<T>* panel;
  T* query_rows;   // (lanes, D)
  T* query_panel;  // (D, lanes)
  T* maximum;      // (lanes)
  T* sum;          // (lanes)
  T* scores;       // (tile, lanes)
  T* weights;      // (tile, lanes)
  T* mask;
  T* keys;    // (tile, D)
  T* values;  // (tile, Dv), scaled by value_scale
  T* means;   // (Dv, lanes)
  T* row;     // (Dv)

  Scratch(const Problem& problem, std::byte* memory) {
    const std::ptrdiff_t tile = KeyTiles::max_keys(tile_keys(problem));
    WorkArea area(memory);
    panel = area.take<Panel<T>>(1);
    query_rows = area.take<T>(lanes * problem.depth);
    query_panel = area.take<T>(problem.depth * lanes);
    maximum = area.take<T>(lanes);
    sum = area.take<T>(lanes);
    scores = area.take<T>(tile * lanes);
    weights = area.take<T>(tile * lanes);
    mask = area.take<T>(mask_tile_size<T>(tile));
    keys = area.take<T>(tile * padded<T>(problem.depth));
    values = area.take<T>(tile * problem.value_depth);
    means = area.take<T>(problem.value_depth * lanes);
    row = area.take<T>(problem.value_depth);
    size = area.size();
  }
};

template <class T>
void read_out(const ForwardCall<T>& call, std::ptrdiff_t item, Row row, T* to) {
  const char* const from =
      call.out.row(item, row.head, call.problem.items[item].query_begin + row.query);
  read_row(from, call.out.type, call.out.column_stride, to, call.problem.value_depth);
}

template <class T>
bool any_overflow(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel,
                  const Scratch<T>& scratch) {
  for (int lane = 0; lane < panel.count; ++lane) {
    read_out(call, item, Row{panel.head[lane], panel.query[lane]}, scratch.row);
    if (!all_finite(Rows<T>{scratch.row, 0}, 1, call.problem.value_depth)) return true;
  }
  return false;
}

// Whether finite values of the head are large enough for their sum to overflow.
template <class T>
bool may_overflow(const ForwardCall<T>& call, std::ptrdiff_t item, std::ptrdiff_t kv_head,
                  Worker& worker, T* row) {
  const Problem& problem = call.problem;
  const Item& place = problem.items[item];
  const T limit = std::numeric_limits<T>::max() / 4 / static_cast<T>(place.keys);
  for (std::ptrdiff_t key = 0; key < place.keys; ++key) {
    if (key % 256 == 0) worker.check();
    read_row(call.value, item, kv_head, place.key_begin + key, row, problem.value_depth);
    for (std::ptrdiff_t column = 0; column < problem.value_depth; ++column) {
      if (std::isfinite(row[column]) && std::abs(row[column]) >= limit) return true;
    }
  }
  return false;
}

template <class T>
void load_queries(const ForwardCall<T>& call, std::ptrdiff_t item, const Scratch<T>& scratch) {
  const Problem& problem = call.problem;
  const Panel<T>& panel = *scratch.panel;
  const T* from[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    T* const copy = scratch.query_rows + lane * problem.depth;
    read_row(
        call.query.row(item, panel.head[lane], problem.items[item].query_begin + panel.query[lane]),
        call.query.type, call.query.column_stride, copy, problem.depth);
    from[lane] = copy;
    start_row(scratch.maximum[lane], scratch.sum[lane], problem.sink, panel.head[lane],
              call.rule.unit);
  }
  rows_to_panel(from, panel.lanes(), problem.depth, call.rule.query_factor, scratch.query_panel);
}

template <class T>
void load_values(const ForwardCall<T>& call, std::ptrdiff_t item, std::ptrdiff_t kv_head,
                 KeyRange keys, T* values) {
  const std::ptrdiff_t columns = call.problem.value_depth;
  const std::ptrdiff_t first = call.problem.items[item].key_begin;
  for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key, values += columns) {
    read_row(call.value, item, kv_head, first + key, values, columns);
    for (std::ptrdiff_t column = 0; column < columns; ++column) {
      values[column] *= value_scale<T>;
    }
  }
}

// Calls visit(keys) after computing the scores of each key tile.
template <class T, class Visit>
void for_tiles(const ForwardCall<T>& call, std::ptrdiff_t item, std::ptrdiff_t kv_head, T* maximum,
               const Scratch<T>& scratch, Worker& worker, const Visit& visit) {
  const Problem& problem = call.problem;
  const KeyTiles tiles(scratch.panel->any, tile_keys(problem), BlockRows(problem, *scratch.panel));
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    TileRows<T> rows(call.key, item, kv_head, problem.items[item].key_begin, tiles[t],
                     problem.depth, InPlace::any_stride, scratch.keys);
    const KeyRange keys =
        score_tile(problem, item, *scratch.panel, tiles[t], call.rule, scratch.query_panel, rows,
                   ScoreBuffers<T>{scratch.scores, scratch.mask, maximum})
            .keys;
    if (!keys.empty()) visit(keys);
  }
}

// The means of a query panel: with the maximum over all keys known, nothing has to be rescaled.
template <class T>
void compute_means(const ForwardCall<T>& call, std::ptrdiff_t item, std::ptrdiff_t kv_head,
                   const Scratch<T>& scratch, Worker& worker) {
  const Problem& problem = call.problem;
  const Panel<T>& panel = *scratch.panel;
  const int lanes = panel.lanes();
  load_queries(call, item, scratch);
  T* const sinks = scratch.weights;  // not in use yet
  std::copy_n(scratch.maximum, lanes, sinks);
  for_tiles(call, item, kv_head, scratch.maximum, scratch, worker, [](KeyRange) {});
  for (int lane = 0; lane < lanes; ++lane) {
    if (scratch.sum[lane] != 0) {
      scratch.sum[lane] = std::exp2((sinks[lane] - scratch.maximum[lane]) * call.rule.exponent);
    }
  }
  std::fill_n(scratch.means, problem.value_depth * lanes, T{0});
  for_tiles(call, item, kv_head, static_cast<T*>(nullptr), scratch, worker, [&](KeyRange keys) {
    std::copy_n(scratch.scores, keys.size() * lanes, scratch.weights);
    RunningSoftmax<T> state{scratch.maximum, scratch.sum, scratch.means};
    with_normalizer(call.rule, [&](const auto& normalizer) {
      add_tile(normalizer, state, scratch.weights, keys.size(), lanes, 0, scratch.maximum);
    });
    if (problem.dropout_p > 0) apply_dropout(problem, item, panel, keys, T{1}, scratch.weights);
    load_values(call, item, kv_head, keys, scratch.values);
    guarded_columns(scratch.scores, scratch.weights, Rows<T>{scratch.values, problem.value_depth},
                    keys.size(), lanes, problem.value_depth, scratch.means, true);
  });
}

template <class T>
void write_means(const ForwardCall<T>& call, std::ptrdiff_t item, const Scratch<T>& scratch) {
  const Problem& problem = call.problem;
  const Panel<T>& panel = *scratch.panel;
  const T largest = largest_finite<T>(call.out.type);
  for (int lane = 0; lane < panel.count; ++lane) {
    const Row row{panel.head[lane], panel.query[lane]};
    const T factor = out_factor(call.rule, scratch.sum[lane], call.dropout_factor);
    read_out(call, item, row, scratch.row);
    for (std::ptrdiff_t column = 0; column < problem.value_depth; ++column) {
      if (std::isfinite(scratch.row[column])) continue;
      const T mean = scratch.means[column * panel.lanes() + lane] * factor;
      scratch.row[column] = unscaled_mean(mean, largest, problem.dropout_p == 0);
    }
    char* const to = call.out.row(item, row.head, problem.items[item].query_begin + row.query);
    write_row(scratch.row, to, call.out.type, call.out.column_stride, problem.value_depth);
  }
}

}  // namespace

template <class T>
void recompute_overflow(const ForwardCall<T>& call, const Team& team) {
  const Problem& problem = call.problem;
  const auto run = [&](std::ptrdiff_t index, Worker& worker) {
    const std::ptrdiff_t item = index / problem.num_kv_heads,
                         kv_head = index % problem.num_kv_heads;
    const Scratch<T> scratch(problem, worker.scratch);
    const std::ptrdiff_t rows = problem.group() * problem.items[item].queries;
    bool checked = false;
    for (std::ptrdiff_t first = 0; first < rows; first += Scratch<T>::lanes) {
      const std::ptrdiff_t count = std::min(Scratch<T>::lanes, rows - first);
      fill_panel(*scratch.panel, problem, problem.items[item], kv_head, first,
                 static_cast<int>(count));
      if (!any_overflow(call, item, *scratch.panel, scratch)) continue;
      if (!checked && !may_overflow(call, item, kv_head, worker, scratch.row)) return;
      checked = true;
      compute_means(call, item, kv_head, scratch, worker);
      write_means(call, item, scratch);
    }
  };
  parallel_for(problem.num_items * problem.num_kv_heads, team, Scratch<T>(problem, nullptr).size,
               run);
}

template void recompute_overflow(const ForwardCall<float>&, const Team&);
template void recompute_overflow(const ForwardCall<double>&, const Team&);

}  // namespace heedful
