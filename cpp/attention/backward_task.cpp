#include "attention/backward_task.hpp"

#include <cstring>
#include <limits>

#include "attention/dropout.hpp"
#include "attention/guarded.hpp"
#include "attention/work_area.hpp"
#include "simd/exp2.hpp"

namespace heedful {
namespace {

template <class T>
struct Areas {
  static constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;

  std::size_t size;
  std::ptrdiff_t depth, value_depth;  // D and Dv, whole vectors
  Panel<T>* panel;
  T* query_rows;   // (lanes, depth)
  T* dout_rows;    // (lanes, value_depth)
  T* query_panel;  // (D, lanes), scaled
  T* dout_panel;   // (Dv, lanes)
  T* base;         // (lanes): weight = 2^(exponent · (score − base)) · factor
  T* factor;       // (lanes)
  T* delta;        // (lanes)
  T* weights;      // (block, lanes): scores, then weights
  T* dscores;      // (block, lanes): dweights, then dscores
  T* mask;         // what mask_tile needs; then a copy of the scores
  T* cap_slope;    // (block, lanes), with a softcap
  T* kept;         // (block, lanes), with dropout
  T* dquery;       // (D, lanes)
  T* dquery_rows;  // (lanes, D)
  T* dkey;         // (block, depth)
  T* dvalue;       // (block, value_depth)
  T* keys;         // (block, depth), for keys that cannot be read in place
  T* values;       // (block, value_depth), likewise

  Areas(const BackwardCall<T>& call, std::byte* scratch) {
    const Problem& problem = call.problem;
    const std::ptrdiff_t block = block_keys(problem);
    depth = padded<T>(problem.depth);
    value_depth = padded<T>(problem.value_depth);
    WorkArea area(scratch);
    panel = area.take<Panel<T>>(1);
    query_rows = area.take<T>(lanes * depth);
    dout_rows = area.take<T>(lanes * value_depth);
    query_panel = area.take<T>(problem.depth * lanes);
    dout_panel = area.take<T>(problem.value_depth * lanes);
    base = area.take<T>(lanes);
    factor = area.take<T>(lanes);
    delta = area.take<T>(lanes);
    weights = area.take<T>(block * lanes);
    dscores = area.take<T>(block * lanes);
    mask = area.take<T>(mask_tile_size<T>(block));
    cap_slope = area.take<T>(problem.softcap > 0 ? block * lanes : 0);
    kept = area.take<T>(problem.dropout_p > 0 ? block * lanes : 0);
    dquery = area.take<T>(problem.depth * lanes);
    dquery_rows = area.take<T>(lanes * problem.depth);
    dkey = area.take<T>(block * depth);
    dvalue = area.take<T>(block * value_depth);
    keys = area.take<T>(call.tensors.key.template in_place<T>() ? 0 : block * depth);
    values = area.take<T>(call.tensors.value.template in_place<T>() ? 0 : block * value_depth);
    size = area.size();
  }
};

// Rows of query or dout: copied with zeros up to whole vectors, and turned into a panel.
template <class T>
void load_panel(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t first_row,
                const Panel<T>& panel, std::ptrdiff_t columns, T factor, T* rows, T* turned) {
  const std::ptrdiff_t stride = padded<T>(columns);
  const T* from[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    T* const row = rows + lane * stride;
    read_row(view.row(item, panel.head[lane], first_row + panel.query[lane]), view.type,
             view.column_stride, row, columns);
    std::fill(row + columns, row + stride, T{0});
    from[lane] = row;
  }
  rows_to_panel(from, panel.lanes(), columns, factor, turned);
}

template <class T>
T number_at(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t row) {
  return *reinterpret_cast<const T*>(view.row(item, head, row));
}

template <class T>
void load_rows_of_panel(const BackwardCall<T>& call, std::ptrdiff_t item, const Areas<T>& areas) {
  const Problem& problem = call.problem;
  const BackwardTensors& tensors = call.tensors;
  const Panel<T>& panel = *areas.panel;
  const std::ptrdiff_t first = problem.items[item].query_begin;
  load_panel(tensors.query, item, first, panel, problem.depth, call.rule.query_factor,
             areas.query_rows, areas.query_panel);
  load_panel(tensors.dout, item, first, panel, problem.value_depth, T{1}, areas.dout_rows,
             areas.dout_panel);
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    areas.base[lane] = call.scales.base(item, panel.head[lane], panel.query[lane]);
    areas.factor[lane] = call.scales.factor(item, panel.head[lane], panel.query[lane]);
    areas.delta[lane] =
        number_at<T>(tensors.delta, item, panel.head[lane], first + panel.query[lane]);
  }
}

// dweights[key][lane] += rows of the caller's dweights
template <class T>
void add_given_dweights(const BackwardCall<T>& call, std::ptrdiff_t item, KeyRange keys,
                        const Areas<T>& areas) {
  const Panel<T>& panel = *areas.panel;
  const TensorView& view = call.tensors.dweights;
  for (int lane = 0; lane < panel.count; ++lane) {
    const char* const row = view.row(item, panel.head[lane], panel.query[lane]);
    for (std::ptrdiff_t key = 0; key < keys.size(); ++key) {
      areas.dscores[key * panel.lanes() + lane] +=
          *reinterpret_cast<const T*>(row + (keys.begin + key) * view.column_stride);
    }
  }
}

// Scores and dweights into weights and dscores, in place.
template <class T>
void differentiate(const Panel<T>& panel, std::ptrdiff_t keys, bool partial, T exponent,
                   const Areas<T>& areas, const T* kept) {
  const auto exponents = simd::broadcast(exponent);
  const auto minus_infinity = simd::broadcast(-std::numeric_limits<T>::infinity());
  const auto zero = simd::broadcast(T{0});
  const int lanes = panel.lanes();
  for (std::ptrdiff_t key = 0; key < keys; ++key) {
    for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
      const std::ptrdiff_t at = key * lanes + lane;
      const auto score = simd::load(areas.weights + at);
      auto weight =
          simd::multiply(simd::exp2<T>(simd::multiply(
                             simd::subtract(score, simd::load(areas.base + lane)), exponents)),
                         simd::load(areas.factor + lane));
      auto dweight = simd::load(areas.dscores + at);
      if (kept) dweight = simd::multiply(dweight, simd::load(kept + at));
      auto dscore = simd::multiply(weight, simd::subtract(dweight, simd::load(areas.delta + lane)));
      if (partial) {  // a hidden key has no part in it, whatever base and dweights are
        const auto hidden = simd::equal(score, minus_infinity);
        weight = simd::select(hidden, zero, weight);
        dscore = simd::select(hidden, zero, dscore);
      }
      if (kept) weight = simd::multiply(weight, simd::load(kept + at));
      simd::store(areas.weights + at, weight);
      simd::store(areas.dscores + at, dscore);
    }
  }
}

template <class T>
void add_dbias(const BackwardCall<T>& call, std::ptrdiff_t item, KeyRange keys,
               const Areas<T>& areas) {
  const Panel<T>& panel = *areas.panel;
  const TensorView& view = call.tensors.dbias;
  for (int lane = 0; lane < panel.count; ++lane) {
    char* const row =
        view.row(item, panel.head[lane], panel.query[lane]) + keys.begin * view.column_stride;
    const T* const from = areas.dscores + lane;
    if (view.column_stride == 0) {
      // the sum is that of a row of a softmax's gradient: nearly 0, so its rounding shows
      T totals[8] = {};
      for (std::ptrdiff_t key = 0; key < keys.size(); ++key) {
        totals[key % 8] += from[key * panel.lanes()];
      }
      *reinterpret_cast<T*>(row) += ((totals[0] + totals[1]) + (totals[2] + totals[3])) +
                                    ((totals[4] + totals[5]) + (totals[6] + totals[7]));
      continue;
    }
    for (std::ptrdiff_t key = 0; key < keys.size(); ++key) {
      *reinterpret_cast<T*>(row + key * view.column_stride) += from[key * panel.lanes()];
    }
  }
}

// sum[key][column] += Σ_lane weights[key][lane] rows[lane][column]
template <class T>
void add_rows(const Panel<T>& panel, KeyRange keys, const T* weights, Rows<T> rows, T* sum) {
  const std::ptrdiff_t vectors = rows.stride / simd::lanes<T>;
  const std::ptrdiff_t blocks = (vectors + max_vectors - 1) / max_vectors;
  for (std::ptrdiff_t b = 0; b < blocks; ++b) {
    const std::ptrdiff_t begin = vectors * b / blocks;
    const std::ptrdiff_t end = vectors * (b + 1) / blocks;
    multiply(Product<T>{keys.size(), panel.count, static_cast<int>(end - begin), weights,
                        panel.lanes(), 1, rows.data + begin * simd::lanes<T>, rows.stride,
                        sum + begin * simd::lanes<T>, rows.stride, true});
  }
}

// dvalue and dkey of the block, and dquery of the panel. Leaves dscores as they are.
template <class T>
void add_products(const BackwardCall<T>& call, KeyRange keys, std::ptrdiff_t block_begin,
                  bool guard, TileRows<T>& key_rows, const Areas<T>& areas) {
  const Problem& problem = call.problem;
  const Panel<T>& panel = *areas.panel;
  T* const dkey = areas.dkey + (keys.begin - block_begin) * areas.depth;
  T* const dvalue = areas.dvalue + (keys.begin - block_begin) * areas.value_depth;
  const Rows<T> query_rows{areas.query_rows, areas.depth};
  const Rows<T> dout_rows{areas.dout_rows, areas.value_depth};
  const int lanes = panel.lanes();
  if (guard) {
    guarded_rows(areas.mask, areas.weights, dout_rows, keys.size(), lanes, panel.count,
                 areas.value_depth, dvalue, areas.value_depth);
  } else {
    add_rows(panel, keys, areas.weights, dout_rows, dvalue);
  }
  const T* dproducts = areas.dscores;
  // bias takes the gradient of the capped score, query and key that of the product
  if (problem.softcap > 0) {
    for (std::ptrdiff_t i = 0; i < keys.size() * lanes; ++i) {
      areas.weights[i] = areas.dscores[i] * areas.cap_slope[i];
    }
    dproducts = areas.weights;
  }
  const Rows<T> rows = key_rows.from(keys.begin);
  if (guard) {
    guarded_rows(areas.mask, dproducts, query_rows, keys.size(), lanes, panel.count, areas.depth,
                 dkey, areas.depth);
    guarded_columns(areas.mask, dproducts, rows, keys.size(), lanes, problem.depth, areas.dquery,
                    false);
  } else {
    add_rows(panel, keys, dproducts, query_rows, dkey);
    multiply(Product<T>{problem.depth, keys.size(), panel.vectors, rows.data, 1, rows.stride,
                        dproducts, lanes, areas.dquery, lanes});
  }
}

template <class T>
void add_dquery(const BackwardCall<T>& call, std::ptrdiff_t item, const Areas<T>& areas) {
  const Problem& problem = call.problem;
  const Panel<T>& panel = *areas.panel;
  alignas(64) T factors[Panel<T>::max_lanes];
  T* to[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    factors[lane] = static_cast<T>(problem.scale);
    to[lane] = areas.dquery_rows + lane * problem.depth;
  }
  panel_to_rows(areas.dquery, panel.lanes(), problem.depth, factors, to);
  for (int lane = 0; lane < panel.count; ++lane) {
    const std::ptrdiff_t row = problem.items[item].query_begin + panel.query[lane];
    T* const dquery = reinterpret_cast<T*>(call.tensors.dquery.row(item, panel.head[lane], row));
    for (std::ptrdiff_t d = 0; d < problem.depth; ++d) dquery[d] += to[lane][d];
  }
}

// The keys of the block that the panel sees; areas.dscores holds what dbias takes.
template <class T>
KeyRange differentiate_panel(const BackwardCall<T>& call, std::ptrdiff_t item, KeyRange block,
                             TileRows<T>& key_rows, TileRows<T>& value_rows,
                             const Areas<T>& areas) {
  const Problem& problem = call.problem;
  const Panel<T>& panel = *areas.panel;
  if (std::max(panel.some.begin, block.begin) >= std::min(panel.some.end, block.end)) return {};
  load_rows_of_panel(call, item, areas);
  const ScoreTile<T> tile =
      score_tile(problem, item, panel, block, call.rule, areas.query_panel, key_rows,
                 ScoreAreas<T>{areas.weights, areas.mask, nullptr, areas.cap_slope});
  if (tile.keys.empty()) return {};
  const std::ptrdiff_t count = tile.keys.size();
  const int lanes = panel.lanes();
  const bool guard =
      tile.partial &&
      !(key_rows.finite() && value_rows.finite() &&
        all_finite(Rows<T>{areas.query_rows, areas.depth}, panel.count, areas.depth) &&
        all_finite(Rows<T>{areas.dout_rows, areas.value_depth}, panel.count, areas.value_depth));
  if (guard) {
    std::memcpy(areas.mask, areas.weights, static_cast<std::size_t>(count * lanes) * sizeof(T));
  }

  const Rows<T> rows = value_rows.from(tile.keys.begin);
  multiply(Product<T>{count, problem.value_depth, panel.vectors, rows.data, rows.stride, 1,
                      areas.dout_panel, lanes, areas.dscores, lanes});
  if (call.tensors.dweights) add_given_dweights(call, item, tile.keys, areas);
  if (problem.dropout_p > 0) {
    std::fill_n(areas.kept, count * lanes, T{1});
    drop(problem, item, panel, tile.keys, call.dropout_factor, areas.kept);
  }
  differentiate(panel, count, tile.partial, call.rule.exponent, areas,
                problem.dropout_p > 0 ? areas.kept : nullptr);
  add_products(call, tile.keys, block.begin, guard, key_rows, areas);
  return tile.keys;
}

// Adds the block's sums to the caller's rows.
template <class T>
void add_block(const TensorView& to, const BackwardTask& task, std::ptrdiff_t first_row,
               std::ptrdiff_t rows, std::ptrdiff_t columns, T factor, const T* sums) {
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    T* const out = reinterpret_cast<T*>(to.row(task.item, task.kv_head, first_row + row));
    for (std::ptrdiff_t column = 0; column < columns; ++column) {
      out[column] += sums[row * padded<T>(columns) + column] * factor;
    }
  }
}

void pass(std::atomic<std::ptrdiff_t>& turn) { turn.fetch_add(1, std::memory_order_release); }

}  // namespace

template <class T>
std::size_t backward_scratch(const BackwardCall<T>& call) {
  return Areas<T>(call, nullptr).size;
}

template <class T>
void backward(const BackwardCall<T>& call, const BackwardTask& task, Worker& worker) {
  const Problem& problem = call.problem;
  const BackwardTensors& tensors = call.tensors;
  const Turns& turns = call.turns;
  const Item& item = problem.items[task.item];
  const Areas<T> areas(call, worker.scratch);
  Panel<T>& panel = *areas.panel;
  const std::ptrdiff_t size = block_keys(problem);
  const KeyRange block{std::min(task.block * size, item.keys),
                       std::min((task.block + 1) * size, item.keys)};
  TileRows<T> key_rows(tensors.key, task.item, task.kv_head, item.key_begin, block, problem.depth,
                       false, areas.keys);
  TileRows<T> value_rows(tensors.value, task.item, task.kv_head, item.key_begin, block,
                         problem.value_depth, false, areas.values);
  std::fill_n(areas.dkey, block.size() * areas.depth, T{0});
  std::fill_n(areas.dvalue, block.size() * areas.value_depth, T{0});

  for (std::ptrdiff_t g = 0; g < problem.group(); ++g) {
    const std::ptrdiff_t head = task.kv_head * problem.group() + g;
    for (std::ptrdiff_t p = task.first_panel; p < task.end_panel; ++p) {
      worker.check();
      const std::ptrdiff_t first = p * panel_rows<T>;
      const int count =
          static_cast<int>(std::clamp<std::ptrdiff_t>(item.queries - first, 0, panel_rows<T>));
      KeyRange seen{0, 0};
      if (count > 0) {
        for (int lane = 0; lane < count; ++lane) {
          set_lane(panel, lane, problem, item, head, first + lane);
        }
        finish(panel, count);
        seen = differentiate_panel(call, task.item, block, key_rows, value_rows, areas);
      }
      if (count > 0) {
        std::atomic<std::ptrdiff_t>& turn =
            turns.dquery[turns.first_dquery[task.item] + head * turns.panels + p];
        worker.wait(turn, task.block);
        if (!seen.empty()) add_dquery(call, task.item, areas);
        if (!seen.empty() && tensors.dbias && !tensors.shared_dbias) {
          add_dbias(call, task.item, seen, areas);
        }
        pass(turn);
      }
      if (tensors.shared_dbias) {
        std::atomic<std::ptrdiff_t>& turn = turns.dbias[task.block * turns.panels + p];
        worker.wait(turn, task.item * problem.num_heads + head);
        if (!seen.empty()) add_dbias(call, task.item, seen, areas);
        pass(turn);
      }
    }
  }

  std::atomic<std::ptrdiff_t>* turn = nullptr;
  if (task.chunks > 1) {
    turn = turns.dkey + turns.first_dkey[task.item] +
           task.kv_head * ((item.keys + size - 1) / size) + task.block;
    worker.wait(*turn, task.chunk);
  }
  add_block(tensors.dkey, task, item.key_begin + block.begin, block.size(), problem.depth,
            static_cast<T>(problem.scale), areas.dkey);
  add_block(tensors.dvalue, task, item.key_begin + block.begin, block.size(), problem.value_depth,
            T{1}, areas.dvalue);
  if (turn) pass(*turn);
}

template std::size_t backward_scratch(const BackwardCall<float>&);
template std::size_t backward_scratch(const BackwardCall<double>&);
template void backward(const BackwardCall<float>&, const BackwardTask&, Worker&);
template void backward(const BackwardCall<double>&, const BackwardTask&, Worker&);

}  // namespace heedful
