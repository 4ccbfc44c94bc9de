// The two products of prefill on pairs of bfloat16, if query, key, value and out are of that type
// and the processor multiplies pairs: the counterpart of FloatProducts. Scores, softmax and all
// sums are float. Weights are rounded to bfloat16 before they are multiplied with values: for
// values of both signs the error is that of rounding the result, 1.3 to 1.4 times the error in
// total. The final division is by the sum of the rounded weights, so that they sum to 1 again: the
// error is then that of the values around their mean, which halves the error of rounded weights for
// values of one sign. The lse uses the sum of the unrounded weights.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arrays/work_area.hpp"
#include "attention/forward/overflow.hpp"
#include "attention/forward/panel_output.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/row_task.hpp"
#include "attention/softmax/online_softmax.hpp"
#include "kernels/bfloat16_kernel.hpp"
#include "kernels/bfloat16_panels.hpp"
#include "kernels/nonfinite.hpp"
#include "simd/bfloat16_pairs.hpp"

namespace heedful {

class PairProducts {
 public:
  using Scalar = float;
  static constexpr std::ptrdiff_t extra_rows = 1;  // after those of out: sums of rounded weights

  static bool supports(const ForwardCall<float>& call) {
    constexpr ElementType bfloat16 = ElementType::bfloat16;
    return call.problem.may_pair() && call.query.type == bfloat16 && call.key.type == bfloat16 &&
           call.value.type == bfloat16 && call.out.type == bfloat16 && simd::has_bfloat16_pairs();
  }

  PairProducts(const ForwardCall<float>& call, std::ptrdiff_t panels, WorkArea& area)
      : call_(call) {
    const Problem& problem = call.problem;
    const std::ptrdiff_t tile = KeyTiles::max_keys(tile_keys(problem));
    const bool in_place = holds_pairs(call.key, problem.depth);
    query_panels_ = area.take<std::uint32_t>(panels * panel_size());
    keys_ = area.take<std::uint16_t>(in_place ? 0 : tile * 2 * pairs_of(problem.depth));
    values_ = area.take<std::uint32_t>(pairs_of(tile) * problem.value_depth);
  }

  void load_queries(std::ptrdiff_t item, const Panel<float>& panel, int index, float* rows) const {
    const Problem& problem = call_.problem;
    const std::uint16_t* from[Panel<float>::max_lanes];
    for (int lane = 0; lane < panel.lanes(); ++lane) {
      auto* const copy = reinterpret_cast<std::uint16_t*>(rows + lane * pairs_of(problem.depth));
      from[lane] = load_paired_columns(call_.query, item, panel.head[lane],
                                       problem.items[item].query_begin + panel.query[lane], 1,
                                       problem.depth, copy)
                       .data;
    }
    words_to_panel(from, panel.lanes(), pairs_of(problem.depth), query_panel(index));
  }

  // A sink is rescaled like the sum, and is not rounded.
  bool start(const Panel<float>& panel, const RunningSoftmax<float>& state) const {
    std::copy_n(state.sum, panel.lanes(), rounded_sum(panel, state));
    if (!call_.problem.sink) return false;
    std::fill_n(state.out, call_.problem.value_depth * panel.lanes(), 0.0f);
    return true;
  }

  // Rescales out so that state.sum is its divisor. Not needed with dropout: the sum of the rounded
  // weights lacks those that were dropped.
  void finish(const Panel<float>& panel, const RunningSoftmax<float>& state) const {
    const std::ptrdiff_t depth = call_.problem.value_depth;
    record_overflow(call_, Rows<float>{state.out, panel.lanes()}, depth, panel.lanes());
    if (call_.problem.dropout_p > 0 || depth == 0) return;
    alignas(64) float factors[Panel<float>::max_lanes];
    const float* const rounded = rounded_sum(panel, state);
    for (int lane = 0; lane < panel.lanes(); ++lane) {
      factors[lane] = rounded[lane] == 0 ? 1 : state.sum[lane] / rounded[lane];
    }
    scale_columns(state.out, depth, panel.lanes(), factors);
  }

  class Tile {
   public:
    Tile(const PairProducts& products, const RowTask& task, KeyRange tile)
        : products_(products), task_(task), tile_(tile) {}

    // The queries are not multiplied by the query factor, which would round them; the product
    // applies it.
    void score(const Panel<float>& panel, int index, KeyRange keys, float* scores, float* maximum,
               RowPrefetch& prefetch) {
      const ForwardCall<float>& call = products_.call_;
      if (!key_rows_.data) {
        key_rows_ = load_paired_columns(call.key, task_.item, task_.kv_head, first_row(),
                                        tile_.size(), call.problem.depth, products_.keys_);
      }
      multiply(PairProduct{keys.size(), pairs_of(call.problem.depth), panel.vectors,
                           key_rows_.data + (keys.begin - tile_.begin) * key_rows_.stride,
                           key_rows_.stride, 2, products_.query_panel(index), panel.lanes(), scores,
                           panel.lanes(), false, call.rule.query_factor, maximum, nullptr,
                           &prefetch});
    }

    // A key hidden from all lanes may share its pair with a visible one.
    bool must_select(KeyRange keys, bool partial) {
      const bool alone = begins_odd(keys) || (keys.end - tile_.begin) % 2 != 0;
      return (partial || alone) && !finite();
    }

    void add_values(const Panel<float>& panel, KeyRange keys, float* weights, float* out,
                    bool accumulate, RowPrefetch& prefetch) {
      PairProduct product = weighted_sum(panel, keys, weights, out, accumulate);
      product.prefetch = &prefetch;
      multiply(product);
    }

    void add_visible_values(const Panel<float>& panel, KeyRange keys, float* scores, float* weights,
                            float* out, bool accumulate) {
      const std::uint32_t* const visible =
          pair_seen(scores, keys.size(), panel.lanes(), begins_odd(keys), as_words(scores));
      if (!accumulate) std::fill_n(out, products_.call_.problem.value_depth * panel.lanes(), 0.0f);
      multiply_seen(weighted_sum(panel, keys, weights, out, true), visible);
    }

    void write_results(std::ptrdiff_t item, const Panel<float>& panel, KeyRange keys,
                       float* weights, const RunningSoftmax<float>& state, float* rows,
                       RowPrefetch& prefetch) {
      const ForwardCall<float>& call = products_.call_;
      const std::ptrdiff_t depth = call.problem.value_depth;
      const PairProduct transposed = weighted_sum(panel, keys, weights, state.out, false);
      const float* const sums =
          call.problem.dropout_p > 0 ? state.sum : products_.rounded_sum(panel, state);
      float factors[Panel<float>::max_lanes];
      for (int lane = 0; lane < panel.count; ++lane) {
        factors[lane] = out_factor(call.rule, sums[lane], call.dropout_factor);
      }
      PairProduct product{panel.count,
                          transposed.pairs,
                          0,
                          reinterpret_cast<const std::uint16_t*>(transposed.b),
                          2,
                          2 * transposed.b_step,
                          reinterpret_cast<const std::uint32_t*>(transposed.a),
                          depth,
                          rows,
                          depth};
      product.row_factors = factors;
      product.prefetch = &prefetch;
      multiply_wide(product, depth);
      record_overflow(call, {rows, depth}, panel.count, depth);
      write_rows(call, item, panel, rows);
    }

   private:
    static std::uint32_t* as_words(float* values) {
      return reinterpret_cast<std::uint32_t*>(values);
    }
    std::ptrdiff_t first_row() const {
      return products_.call_.problem.items[task_.item].key_begin + tile_.begin;
    }
    bool begins_odd(KeyRange keys) const { return (keys.begin - tile_.begin) % 2 != 0; }

    void load_values() {
      if (loaded_) return;
      const ForwardCall<float>& call = products_.call_;
      load_paired_rows(call.value, task_.item, task_.kv_head, first_row(), tile_.size(),
                       call.problem.value_depth, products_.values_);
      loaded_ = true;
    }
    bool finite() {
      load_values();
      if (!checked_) {
        finite_ = all_finite(products_.values_,
                             pairs_of(tile_.size()) * products_.call_.problem.value_depth);
        checked_ = true;
      }
      return finite_;
    }
    PairProduct weighted_sum(const Panel<float>& panel, KeyRange keys, float* weights, float* out,
                             bool accumulate) {
      load_values();
      const std::ptrdiff_t depth = products_.call_.problem.value_depth;
      const std::ptrdiff_t first = (keys.begin - tile_.begin) / 2;
      const std::ptrdiff_t pairs =
          pair_weights(weights, keys.size(), panel.lanes(), begins_odd(keys), as_words(weights),
                       out + depth * panel.lanes());
      const auto* const values =
          reinterpret_cast<const std::uint16_t*>(products_.values_ + first * depth);
      return {depth,         pairs, panel.vectors, values,    2, 2 * depth, as_words(weights),
              panel.lanes(), out,   panel.lanes(), accumulate};
    }

    const PairProducts& products_;
    const RowTask& task_;
    KeyRange tile_;
    Rows<std::uint16_t> key_rows_{nullptr, 0};
    bool loaded_ = false, checked_ = false, finite_ = false;
  };

 private:
  float* rounded_sum(const Panel<float>& panel, const RunningSoftmax<float>& state) const {
    return state.out + call_.problem.value_depth * panel.lanes();
  }
  std::ptrdiff_t panel_size() const {
    return pairs_of(call_.problem.depth) * Panel<float>::max_lanes;
  }
  std::uint32_t* query_panel(int index) const { return query_panels_ + index * panel_size(); }

  const ForwardCall<float>& call_;
  std::uint32_t* query_panels_;  // each (D / 2, lanes)
  std::uint16_t* keys_;          // (tile, D), for keys that cannot be read in place
  std::uint32_t* values_;        // (tile / 2, Dv)
};

}  // namespace heedful
