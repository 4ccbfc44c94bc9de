#include "attention/backward/score_gradients.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "attention/softmax/dropout.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/nonfinite.hpp"
#include "simd/exp2.hpp"

namespace heedful {
namespace {

// Rows in whole vectors: where they lie, or copied with zeros behind the last column. Rows far
// apart are copied too, because they would share a few sets of the first cache.
template <class T>
Rows<T> whole_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                   std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t columns, T* buffer) {
  const std::ptrdiff_t stride = padded<T>(columns);
  if (view.in_place<T>() && columns == stride && std::abs(view.row_stride) <= 512) {
    return load_rows(view, item, head, first, count, columns, false, buffer);
  }
  for (std::ptrdiff_t row = 0; row < count; ++row) {
    T* const to = buffer + row * stride;
    read_row(view.row(item, head, first + row), view.type, view.column_stride, to, columns);
    std::fill(to + columns, to + stride, T{0});
  }
  return {buffer, stride};
}

// Rows of query or dout, also turned into a panel.
template <class T>
Rows<T> load_panel(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t first_row,
                   const Panel<T>& panel, std::ptrdiff_t columns, T factor, T* buffer, T* turned) {
  const Rows<T> rows = whole_rows(view, item, panel.head[0], first_row + panel.query[0],
                                  panel.count, columns, buffer);
  const T* from[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    from[lane] = rows.data + std::min(lane, panel.count - 1) * rows.stride;
  }
  rows_to_panel(from, panel.lanes(), columns, factor, turned);
  return rows;
}

template <class T>
T number_at(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t row) {
  return *reinterpret_cast<const T*>(view.row(item, head, row));
}

template <class T>
void load_rows_of_panel(const BackwardCall<T>& call, std::ptrdiff_t item,
                        const BackwardAreas<T>& areas, GradientTile<T>& tile) {
  const Problem& problem = call.problem;
  const BackwardTensors& tensors = call.tensors;
  const Panel<T>& panel = *areas.panel;
  const std::ptrdiff_t first = problem.items[item].query_begin;
  tile.query = load_panel(tensors.query, item, first, panel, problem.depth, call.rule.query_factor,
                          areas.query_rows, areas.query_panel);
  tile.dout = load_panel(tensors.dout, item, first, panel, problem.value_depth, T{1},
                         areas.dout_rows, areas.dout_panel);
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
                        const BackwardAreas<T>& areas) {
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
                   const BackwardAreas<T>& areas, const T* kept) {
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

}  // namespace

template <class T>
GradientTile<T> score_gradients(const BackwardCall<T>& call, std::ptrdiff_t item, KeyRange block,
                                TileRows<T>& key_rows, TileRows<T>& value_rows,
                                const BackwardAreas<T>& areas, RowPrefetch& prefetch) {
  const Problem& problem = call.problem;
  const Panel<T>& panel = *areas.panel;
  if (std::max(panel.some.begin, block.begin) >= std::min(panel.some.end, block.end)) return {};
  GradientTile<T> gradients;
  load_rows_of_panel(call, item, areas, gradients);
  const ScoreTile<T> tile =
      score_tile(problem, item, panel, block, call.rule, areas.query_panel, key_rows,
                 ScoreAreas<T>{areas.weights, areas.mask, nullptr, areas.cap_slope});
  if (tile.keys.empty()) return {};
  const std::ptrdiff_t count = tile.keys.size();
  const int lanes = panel.lanes();
  const bool guard = tile.partial && !(key_rows.finite() && value_rows.finite() &&
                                       all_finite(gradients.query, panel.count, areas.depth) &&
                                       all_finite(gradients.dout, panel.count, areas.value_depth));
  if (guard) {
    std::memcpy(areas.mask, areas.weights, static_cast<std::size_t>(count * lanes) * sizeof(T));
  }

  const Rows<T> rows = value_rows.from(tile.keys.begin);
  multiply(Product<T>{count, problem.value_depth, panel.vectors, rows.data, rows.stride, 1,
                      areas.dout_panel, lanes, areas.dscores, lanes},
           prefetch);
  if (call.tensors.dweights) add_given_dweights(call, item, tile.keys, areas);
  const bool drops = problem.dropout_p > 0;
  if (drops) keep(problem, item, panel, tile.keys, call.dropout_factor, areas.kept);
  differentiate(panel, count, tile.partial, call.rule.exponent, areas,
                drops ? areas.kept : nullptr);
  gradients.keys = tile.keys;
  gradients.guard = guard;
  return gradients;
}

template GradientTile<float> score_gradients(const BackwardCall<float>&, std::ptrdiff_t, KeyRange,
                                             TileRows<float>&, TileRows<float>&,
                                             const BackwardAreas<float>&, RowPrefetch&);
template GradientTile<double> score_gradients(const BackwardCall<double>&, std::ptrdiff_t, KeyRange,
                                              TileRows<double>&, TileRows<double>&,
                                              const BackwardAreas<double>&, RowPrefetch&);

}  // namespace heedful
