// The two products of prefill on pairs of bfloat16 (AVX512-BF16), the counterpart of FloatProducts.
// See rounded_sums.hpp for what is rounded.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arrays/work_area.hpp"
#include "attention/forward/panels/bfloat16/rounded_sums.hpp"
#include "attention/forward/panels/panel_output.hpp"
#include "attention/problem/key_tiles.hpp"
#include "kernels/bfloat16_kernel.hpp"
#include "kernels/bfloat16_panels.hpp"
#include "kernels/nonfinite.hpp"

namespace heedful {

class PairProducts : public RoundedSums {
 public:
  static constexpr std::ptrdiff_t rows_before = 0;
  static constexpr int blocks = 1;

  PairProducts(const ForwardCall<float>& call, std::ptrdiff_t panels, WorkArea& area)
      : RoundedSums(call) {
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
  std::ptrdiff_t panel_size() const {
    return pairs_of(call_.problem.depth) * Panel<float>::max_lanes;
  }
  std::uint32_t* query_panel(int index) const { return query_panels_ + index * panel_size(); }

  std::uint32_t* query_panels_;  // each (D / 2, lanes)
  std::uint16_t* keys_;          // (tile, D), for keys that cannot be read in place
  std::uint32_t* values_;        // (tile / 2, Dv)
};

}  // namespace heedful
