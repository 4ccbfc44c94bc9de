#include "attention/backward/key_tile_gradients.hpp"

#include <algorithm>

#include "attention/backward/additive_gradients.hpp"
#include "attention/backward/areas.hpp"
#include "attention/backward/bias_gradient.hpp"
#include "attention/backward/delta.hpp"
#include "attention/backward/score_gradients.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/nonfinite.hpp"
#include "kernels/product_prefetch.hpp"

namespace heedful {
namespace {

// sum[key][column] += Σ_lane weights[key][lane] rows[lane][column]
template <class T>
void add_rows(const Panel<T>& panel, KeyRange keys, const T* weights, Rows<T> rows, T* sum,
              std::ptrdiff_t columns, RowPrefetch& prefetch) {
  multiply_wide(Product<T>{keys.size(), panel.count, 0, weights, panel.lanes(), 1, rows.data,
                           rows.stride, sum, columns, true},
                columns, prefetch);
}

// dvalue and dkey of the block, and dquery of the panel. Leaves dscores as they are.
template <class T>
void add_products(const BackwardCall<T>& call, const BackwardTask& task,
                  const GradientTile<T>& tile, std::ptrdiff_t block_begin, TileRows<T>& key_rows,
                  const BackwardAreas<T>& areas, RowPrefetch& prefetch) {
  const KeyRange keys = tile.keys;
  const Problem& problem = call.problem;
  const Panel<T>& panel = *areas.panel;
  T* const dkey = areas.dkey + (keys.begin - block_begin) * areas.depth;
  T* const dvalue = areas.dvalue + (keys.begin - block_begin) * areas.value_depth;
  const int lanes = panel.lanes();
  if (tile.guard) {
    guarded_rows(areas.mask, areas.weights, tile.dout, keys.size(), lanes, panel.count,
                 areas.value_depth, dvalue, areas.value_depth);
  } else {
    add_rows(panel, keys, areas.weights, tile.dout, dvalue, areas.value_depth, prefetch);
  }
  if (problem.score_kind == ScoreKind::additive) {
    additive_gradients(
        additive_tile(problem, panel, keys.size(), key_rows.from(keys.begin),
                      static_cast<const T*>(areas.query_panel)),
        panel, AdditiveGradients<T>{areas.dscores, areas.dquery, dkey, task.dweight, tile.guard});
    return;
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
  if (tile.guard) {
    guarded_rows(areas.mask, dproducts, tile.query, keys.size(), lanes, panel.count, areas.depth,
                 dkey, areas.depth);
    guarded_columns(areas.mask, dproducts, rows, keys.size(), lanes, problem.depth, areas.dquery,
                    false);
  } else {
    add_rows(panel, keys, dproducts, tile.query, dkey, areas.depth, prefetch);
    multiply(Product<T>{problem.depth, keys.size(), panel.vectors, rows.data, 1, rows.stride,
                        dproducts, lanes, areas.dquery, lanes},
             prefetch);
  }
}

// `first`: the rows hold nothing but zeros yet.
template <class T>
void add_dquery(const BackwardCall<T>& call, std::ptrdiff_t item, bool first,
                const BackwardAreas<T>& areas) {
  const Problem& problem = call.problem;
  const Panel<T>& panel = *areas.panel;
  alignas(64) T factors[Panel<T>::max_lanes];
  T* rows[Panel<T>::max_lanes];
  T* to[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    const std::ptrdiff_t row = problem.items[item].query_begin + panel.query[lane];
    factors[lane] = static_cast<T>(problem.scale);
    rows[lane] = reinterpret_cast<T*>(call.tensors.dquery.row(item, panel.head[lane], row));
    to[lane] = first && lane < panel.count ? rows[lane] : areas.dquery_rows + lane * problem.depth;
  }
  panel_to_rows(areas.dquery, panel.lanes(), problem.depth, factors, to);
  if (first) return;
  for (int lane = 0; lane < panel.count; ++lane) {
    for (std::ptrdiff_t d = 0; d < problem.depth; ++d) rows[lane][d] += to[lane][d];
  }
}

// total (+)= sums, which are zeros then.
template <class T>
void take_level(T* sums, std::ptrdiff_t count, bool first, double* total) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    total[i] = (first ? 0.0 : total[i]) + static_cast<double>(sums[i]);
  }
  std::fill_n(sums, count, T{0});
}

// Adds the block's sums, in T or in double, to the caller's rows.
template <class T, class Sum>
void add_block(const TensorView& to, const BackwardTask& task, std::ptrdiff_t first_row,
               std::ptrdiff_t rows, std::ptrdiff_t columns, double factor, const Sum* sums) {
  const Sum by = static_cast<Sum>(factor);
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    T* const out = reinterpret_cast<T*>(to.row(task.item, task.kv_head, first_row + row));
    const Sum* const from = sums + row * padded<T>(columns);
    if (task.chunk == 0) {  // zeros yet, and perhaps memory that was never touched
      for (std::ptrdiff_t column = 0; column < columns; ++column)
        out[column] = static_cast<T>(from[column] * by);
    } else {
      for (std::ptrdiff_t column = 0; column < columns; ++column)
        out[column] += static_cast<T>(from[column] * by);
    }
  }
}

// Of a row that no other task writes these keys of.
template <class T>
void write_bias_sums(const TensorView& dbias, std::ptrdiff_t item, std::ptrdiff_t head,
                     KeyRange keys, const double* sums) {
  char* const row = dbias.row(item, head, 0);
  for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key) {
    *reinterpret_cast<T*>(row + key * dbias.column_stride) = static_cast<T>(sums[key - keys.begin]);
  }
}

// What this panel ends with and the next one begins with.
template <class T>
RowPrefetch prefetch_of(const BackwardCall<T>& call, const BackwardTask& task, std::ptrdiff_t head,
                        std::ptrdiff_t first, int count, bool only_block) {
  const Problem& problem = call.problem;
  const BackwardTensors& tensors = call.tensors;
  const Item& item = problem.items[task.item];
  const std::ptrdiff_t row = item.query_begin + first, next = row + count;
  const std::ptrdiff_t more = std::min(panel_rows<T>, item.queries - first - count);
  RowPrefetch prefetch;
  if (task.block > 0) {
    prefetch.add(tensors.dquery, task.item, head, row, count, problem.depth);
  }
  prefetch.add(tensors.query, task.item, head, next, more, problem.depth);
  prefetch.add(tensors.dout, task.item, head, next, more, problem.value_depth);
  if (only_block) prefetch.add(tensors.out, task.item, head, next, more, problem.value_depth);
  return prefetch;
}

void pass(std::atomic<std::ptrdiff_t>& turn) { turn.fetch_add(1, std::memory_order_release); }

}  // namespace

template <class T>
std::size_t backward_scratch(const BackwardCall<T>& call) {
  return BackwardAreas<T>(call, nullptr).size;
}

template <class T>
void backward(const BackwardCall<T>& call, const BackwardTask& task, Worker& worker) {
  const Problem& problem = call.problem;
  const BackwardTensors& tensors = call.tensors;
  const Turns& turns = call.turns;
  const Item& item = problem.items[task.item];
  const BackwardAreas<T> areas(call, worker.scratch);
  Panel<T>& panel = *areas.panel;
  const std::ptrdiff_t first_panel = call.cut.first_panel(task.item, task.chunk);
  const std::ptrdiff_t end_panel = call.cut.first_panel(task.item, task.chunk + 1);
  // of the item: each of its panels has this task alone
  const bool only_block = call.cut.blocks(task.item) == 1;
  const bool sums_bias = call.sums_bias();
  const std::ptrdiff_t size = block_keys(problem, tensors, item);
  const KeyRange block{std::min(task.block * size, item.keys),
                       std::min((task.block + 1) * size, item.keys)};
  TileRows<T> key_rows(tensors.key, task.item, task.kv_head, item.key_begin, block, problem.depth,
                       false, areas.keys);
  TileRows<T> value_rows(tensors.value, task.item, task.kv_head, item.key_begin, block,
                         problem.value_depth, false, areas.values);
  std::fill_n(areas.dkey, block.size() * areas.depth, T{0});
  std::fill_n(areas.dvalue, block.size() * areas.value_depth, T{0});
  std::ptrdiff_t summed = 0, levels = 0;  // panels since the last level, and levels taken
  const auto take_levels = [&] {
    take_level(areas.dkey, block.size() * areas.depth, levels == 0, areas.long_dkey);
    take_level(areas.dvalue, block.size() * areas.value_depth, levels == 0, areas.long_dvalue);
    summed = 0;
    ++levels;
  };

  for (std::ptrdiff_t g = 0; g < problem.group(); ++g) {
    const std::ptrdiff_t head = task.kv_head * problem.group() + g;
    if (sums_bias) std::fill_n(areas.bias_sums, block.size(), 0.0);
    for (std::ptrdiff_t p = first_panel; p < end_panel; ++p) {
      worker.check();
      const std::ptrdiff_t first = p * panel_rows<T>;
      const int count =
          static_cast<int>(std::clamp<std::ptrdiff_t>(item.queries - first, 0, panel_rows<T>));
      GradientTile<T> tile;
      if (count > 0) {
        for (int lane = 0; lane < count; ++lane) {
          set_lane(panel, lane, problem, item, head, first + lane);
        }
        finish(panel, count);
        if (only_block) {  // the rows of dout are not in use yet
          write_delta(tensors, problem.value_depth, task.item, head, item.query_begin + first,
                      count, areas.dout_rows);
        }
        RowPrefetch prefetch = prefetch_of(call, task, head, first, count, only_block);
        tile = score_gradients(call, task.item, block, key_rows, value_rows, areas, prefetch);
        if (!tile.keys.empty()) {
          if (summed == level_panels) take_levels();
          add_products(call, task, tile, block.begin, key_rows, areas, prefetch);
          ++summed;
          if (sums_bias) {
            sum_bias_gradient(panel, tile.keys.size(), areas.dscores,
                              areas.bias_sums + (tile.keys.begin - block.begin));
          }
        }
      }
      if (count > 0) {
        std::atomic<std::ptrdiff_t>& turn = turns.dquery[turns.panels->begin(task.item, head) + p];
        worker.wait(turn, task.block);
        if (!tile.keys.empty()) add_dquery(call, task.item, task.block == 0, areas);
        if (!tile.keys.empty() && tensors.dbias && !tensors.shared_dbias && !sums_bias) {
          add_bias_gradient(tensors.dbias, task.item, panel, tile.keys, areas.dscores);
        }
        pass(turn);
      }
      if (tensors.shared_dbias) {
        std::atomic<std::ptrdiff_t>& turn = turns.dbias[task.block * call.cut.most_panels() + p];
        worker.wait(turn, task.item * problem.num_heads + head);
        if (!tile.keys.empty())
          add_bias_gradient(tensors.dbias, task.item, panel, tile.keys, areas.dscores);
        pass(turn);
      }
    }
    if (sums_bias) write_bias_sums<T>(tensors.dbias, task.item, head, block, areas.bias_sums);
  }

  std::atomic<std::ptrdiff_t>* turn = nullptr;
  if (call.cut.chunks(task.item) > 1) {
    turn = turns.dkey + turns.blocks->begin(task.item, task.kv_head) + task.block;
    worker.wait(*turn, task.chunk);
  }
  const auto add = [&](const auto* dkey, const auto* dvalue) {
    const std::ptrdiff_t first = item.key_begin + block.begin;
    add_block<T>(tensors.dkey, task, first, block.size(), problem.depth, problem.scale, dkey);
    add_block<T>(tensors.dvalue, task, first, block.size(), problem.value_depth, 1, dvalue);
  };
  if (levels == 0) {
    add(areas.dkey, areas.dvalue);
  } else {
    take_levels();
    add(areas.long_dkey, areas.long_dvalue);
  }
  if (turn) pass(*turn);
}

template std::size_t backward_scratch(const BackwardCall<float>&);
template std::size_t backward_scratch(const BackwardCall<double>&);
template void backward(const BackwardCall<float>&, const BackwardTask&, Worker&);
template void backward(const BackwardCall<double>&, const BackwardTask&, Worker&);

}  // namespace heedful
