// The two products of prefill in T: keys and values are read in place if they are of that type,
// otherwise widened a tile at a time, once for all panels of a task.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/panel_transposes.hpp"
#include "arrays/rows.hpp"
#include "arrays/work_area.hpp"
#include "attention/forward/panels/panel_output.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/row_task.hpp"
#include "attention/scores/scorer.hpp"
#include "attention/scores/tile_rows.hpp"
#include "attention/softmax/online_softmax.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/nonfinite.hpp"

namespace heedful {

template <class T>
class FloatProducts {
 public:
  using Scalar = T;
  static constexpr std::ptrdiff_t extra_rows = 0;   // after those of out
  static constexpr std::ptrdiff_t rows_before = 0;  // before those of the scores, for add_values
  static constexpr int blocks = 1;                  // panels and tiles in work at a time

  // `panels`: the maximum number of panels of a task.
  FloatProducts(const ForwardCall<T>& call, std::ptrdiff_t panels, WorkArea& area)
      : call_(call),
        kept_keys_(kept_keys(call, call.key, call.problem.depth), call.problem.depth, area),
        kept_values_(kept_keys(call, call.value, call.problem.value_depth),
                     call.problem.value_depth, area) {
    const Problem& problem = call.problem;
    const std::ptrdiff_t tile = KeyTiles::max_keys(tile_keys(problem));
    query_panels_ = area.take<T>(panels * problem.depth * Panel<T>::max_lanes);
    keys_ = area.take<T>(copies(call.key, problem.depth) ? tile * padded<T>(problem.depth) : 0);
    values_ = area.take<T>(
        copies(call.value, problem.value_depth) ? tile * padded<T>(problem.value_depth) : 0);
  }

  // Called before the first task of a thread.
  void clear() const {
    kept_keys_.clear();
    kept_values_.clear();
  }

  // `rows` (lanes, D): for queries that cannot be read in place.
  void load_queries(std::ptrdiff_t item, const Panel<T>& panel, int index, T* rows) const {
    const Problem& problem = call_.problem;
    if (widens_queries()) return widen_queries(item, panel, index);
    const T* from[Panel<T>::max_lanes];
    const std::ptrdiff_t begin = problem.items[item].query_begin;
    const bool in_place = call_.query.template in_place<T>();
    if (in_place && panel.one_head) {
      const char* const query = call_.query.row(item, panel.head[0], begin);
      for (int lane = 0; lane < panel.lanes(); ++lane) {
        from[lane] = reinterpret_cast<const T*>(query + panel.query[lane] * call_.query.row_stride);
      }
    } else {
      for (int lane = 0; lane < panel.lanes(); ++lane) {
        const char* const query =
            call_.query.row(item, panel.head[lane], begin + panel.query[lane]);
        if (in_place) {
          from[lane] = reinterpret_cast<const T*>(query);
        } else {
          T* const copy = rows + lane * problem.depth;
          read_row(query, call_.query.type, call_.query.column_stride, copy, problem.depth);
          from[lane] = copy;
        }
      }
    }
    rows_to_panel(from, panel.lanes(), problem.depth, call_.rule.query_factor, query_panel(index));
  }

  // Called before the first tile and after the last. start() returns whether state.out is already
  // initialised and accumulated into from the first tile.
  bool start(const Panel<T>&, const RunningSoftmax<T>&) const { return false; }
  void finish(const Panel<T>&, const RunningSoftmax<T>&) const {}

  // One key tile. Its rows are not read before they are multiplied.
  class Tile {
   public:
    Tile(const FloatProducts& products, const RowTask& task, KeyRange tile)
        : products_(products),
          keys_(products.call_.key, task.item, task.kv_head,
                products.call_.problem.items[task.item].key_begin, tile,
                products.call_.problem.depth,
                condition(task, products.call_.key, kept(task, products.kept_keys_)),
                products.keys_, kept(task, products.kept_keys_)),
          values_(products.call_.value, task.item, task.kv_head,
                  products.call_.problem.items[task.item].key_begin, tile,
                  products.call_.problem.value_depth,
                  condition(task, products.call_.value, kept(task, products.kept_values_)),
                  products.values_, kept(task, products.kept_values_)) {}

    // scores[key][lane] = K Qᵀ, or the raw scores of another kind
    void score(const Panel<T>& panel, int index, KeyRange keys, T* scores, T* maximum,
               RowPrefetch& prefetch) {
      raw_scores(products_.call_.problem, panel, keys.size(), keys_.from(keys.begin),
                 products_.query_panel(index), scores, maximum, &prefetch);
    }

    // `partial`: some keys are hidden from some lanes. Whether these must be skipped instead of
    // multiplied by 0.
    bool must_select(KeyRange, bool partial) { return partial && !values_.finite(); }

    Rows<T> values(KeyRange keys) { return values_.from(keys.begin); }

    // outᵀ (+)= Vᵀ Pᵀ; may overwrite the weights
    void add_values(const Panel<T>& panel, KeyRange keys, T* weights, T* out, bool accumulate,
                    RowPrefetch& prefetch) {
      const Rows<T> rows = values(keys);
      multiply(Product<T>{products_.call_.problem.value_depth, keys.size(), panel.vectors,
                          rows.data, 1, rows.stride, weights, panel.lanes(), out, panel.lanes(),
                          accumulate, nullptr, nullptr, &prefetch});
    }

    // The same over the keys whose scores are not −∞.
    void add_visible_values(const Panel<T>& panel, KeyRange keys, T* scores, T* weights, T* out,
                            bool accumulate) {
      guarded_columns(scores, weights, values(keys), keys.size(), panel.lanes(),
                      products_.call_.problem.value_depth, out, accumulate);
    }

    // Writes the results directly, if these are all keys and writes_weighted(Dv, keys); may
    // overwrite the weights.
    void write_results(std::ptrdiff_t item, const Panel<T>& panel, KeyRange keys, T* weights,
                       const RunningSoftmax<T>& state, T* rows, RowPrefetch& prefetch) {
      write_weighted(products_.call_, item, panel, state, weights, keys.size(), values(keys), rows,
                     prefetch);
    }

   private:
    // A copy pays off if several panels read it; sooner if every row is on a page of its own.
    InPlace condition(const RowTask& task, const TensorView& view, bool kept) const {
      const int panels = view.rows_on_pages() ? 1 : 3;
      const std::ptrdiff_t rows = kept ? head_rows(task) : task.rows;
      return rows > panels * Panel<T>::max_lanes ? InPlace::close : InPlace::any_stride;
    }

    // If other tasks read the head, too.
    const KeptRows<T>* kept(const RowTask& task, const KeptRows<T>& rows) const {
      return task.rows < head_rows(task) && rows.keeps() ? &rows : nullptr;
    }

    std::ptrdiff_t head_rows(const RowTask& task) const {
      const Problem& problem = products_.call_.problem;
      return problem.group() * problem.items[task.item].queries;
    }

    const FloatProducts& products_;
    TileRows<T> keys_, values_;
  };

 private:
  T* query_panel(int index) const {
    return query_panels_ + index * call_.problem.depth * Panel<T>::max_lanes;
  }

  // Whether queries of bfloat16 are widened as they are transposed.
  bool widens_queries() const {
    return sizeof(T) == sizeof(float) && call_.query.type == ElementType::bfloat16 &&
           call_.query.column_stride == 2 && call_.problem.depth >= simd::lanes<T>;
  }
  void widen_queries(std::ptrdiff_t item, const Panel<T>& panel, int index) const {
    if constexpr (sizeof(T) == sizeof(float)) {
      const Problem& problem = call_.problem;
      const simd::Bfloat16* from[Panel<T>::max_lanes];
      for (int lane = 0; lane < panel.lanes(); ++lane) {
        const std::ptrdiff_t row = problem.items[item].query_begin + panel.query[lane];
        from[lane] =
            reinterpret_cast<const simd::Bfloat16*>(call_.query.row(item, panel.head[lane], row));
      }
      rows_to_panel(from, panel.lanes(), problem.depth, call_.rule.query_factor,
                    query_panel(index));
    }
  }

  static bool copies(const TensorView& view, std::ptrdiff_t columns) {
    return !reads_in_place<T>(view, columns, InPlace::close);
  }
  static std::ptrdiff_t kept_keys(const ForwardCall<T>& call, const TensorView& view,
                                  std::ptrdiff_t columns) {
    return copies(view, columns) ? call.shared_keys : 0;
  }

  const ForwardCall<T>& call_;
  KeptRows<T> kept_keys_, kept_values_;
  T* query_panels_;  // each (D, lanes)
  T* keys_;          // (tile, D), for keys that are not read in place
  T* values_;        // (tile, Dv), likewise
};

}  // namespace heedful
