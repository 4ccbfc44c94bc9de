// The two products of prefill on tiles of bfloat16 (AMX or its model), the counterpart of
// FloatProducts. See rounded_sums.hpp for what is rounded.
//
//   scores    Sᵀ[key][query] = K Qᵀ        keys in place, where they are contiguous
//   weighted  Oᵀ[d][query] += Vᵀ Pᵀ        values transposed once for all panels of a task
//
// Sums over keys are formed 32 keys at a time, from a multiple of 32 of the item: so a row's bits
// do not depend on the keys that its panel begins with. Keys that fill such a block have weight 0.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "arrays/work_area.hpp"
#include "attention/forward/panels/bfloat16/rounded_sums.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "kernels/bfloat16_panels.hpp"
#include "kernels/nonfinite.hpp"
#include "kernels/tile_kernel.hpp"
#include "kernels/tile_panels.hpp"
#include "simd/bfloat16_bits.hpp"

namespace heedful {

template <class Tiles>
class TileProducts : public RoundedSums {
 public:
  static constexpr std::ptrdiff_t rows_before = tile_depth / 2;  // for weights of 0
  static constexpr int blocks = 3;                               // see overlapped_tiles.hpp

  TileProducts(const ForwardCall<float>& call, std::ptrdiff_t panels, WorkArea& area)
      : RoundedSums(call) {
    const Problem& problem = call.problem;
    const std::ptrdiff_t tile = KeyTiles::max_keys(tile_keys(problem));
    const std::ptrdiff_t padded_depth = tile_depth * tile_blocks(problem.depth);
    const bool in_place = holds_tile_rows(call.key, problem.depth);
    value_stride_ = tile_depth * (tile_blocks(tile) + 1);
    query_panels_ = area.take<std::uint32_t>(panels * panel_size());
    keys_ = area.take<std::uint16_t>(in_place ? 0 : tile * padded_depth);
    values_ = area.take<std::uint16_t>(problem.value_depth * value_stride_);
  }

  void load_queries(std::ptrdiff_t item, const Panel<float>& panel, int index, float* rows) const {
    const Problem& problem = call_.problem;
    const std::ptrdiff_t pairs = pairs_of(problem.depth);
    const std::uint16_t* from[Panel<float>::max_lanes];
    for (int lane = 0; lane < panel.lanes(); ++lane) {
      auto* const copy = reinterpret_cast<std::uint16_t*>(rows + lane * pairs);
      from[lane] = load_paired_columns(call_.query, item, panel.head[lane],
                                       problem.items[item].query_begin + panel.query[lane], 1,
                                       problem.depth, copy)
                       .data;
    }
    std::uint32_t* const to = query_panel(index);
    words_to_panel(from, panel.lanes(), pairs, to);
    std::fill(to + pairs * panel.lanes(), to + panel_pairs() * panel.lanes(), 0u);
  }

  // Turns of the side work of the two products.
  std::ptrdiff_t turns_of_scores(const Panel<float>& panel, KeyRange keys) const {
    return tile_turns(keys.size(), call_.problem.depth, panel.lanes());
  }
  std::ptrdiff_t turns_of_values(const Panel<float>& panel, KeyRange keys) const {
    return tile_turns(call_.problem.value_depth, keys.end - keys.begin / tile_depth * tile_depth,
                      panel.lanes());
  }

  class Tile {
   public:
    Tile(const TileProducts& products, const RowTask& task, KeyRange tile)
        : products_(products),
          task_(task),
          tile_(tile),
          first_block_(tile.begin / tile_depth * tile_depth) {}

    // As with pairs, the product applies the query factor, since the queries cannot without
    // rounding.
    void score(const Panel<float>& panel, int index, KeyRange keys, float* scores, float* maximum,
               RowPrefetch& prefetch, SideWork* side = nullptr) {
      const ForwardCall<float>& call = products_.call_;
      if (!key_rows_.data) {
        key_rows_ = load_tile_rows(call.key, task_.item, task_.kv_head, first_row(), tile_.size(),
                                   call.problem.depth, products_.keys_);
      }
      TileProduct product{};
      product.rows = keys.size();
      product.blocks = tile_blocks(call.problem.depth);
      product.lanes = panel.lanes();
      product.a = key_rows_.data + (keys.begin - tile_.begin) * key_rows_.stride;
      product.a_row = key_rows_.stride;
      product.b = products_.query_panel(index);
      product.c = scores;
      product.factor = call.rule.query_factor;
      product.maximum = maximum;
      product.prefetch = &prefetch;
      product.side = side;
      multiply(products_.tiles_, product);
    }

    // A key hidden from all lanes may share its block with a visible one.
    bool may_select(KeyRange keys, bool partial) const {
      return partial || cleaned_ || keys.begin != tile_.begin || keys.end != tile_.end;
    }
    bool must_select(KeyRange keys, bool partial) { return may_select(keys, partial) && !finite(); }

    // `weights`: words of two keys, at even and odd keys of the item, with room for a block of
    // others before and after.
    void add_values(const Panel<float>& panel, KeyRange keys, float* weights, float* out,
                    bool accumulate, RowPrefetch& prefetch, SideWork* side) {
      load_values();
      const std::ptrdiff_t depth = products_.call_.problem.value_depth;
      const int lanes = panel.lanes();
      const std::ptrdiff_t block = keys.begin / tile_depth * tile_depth;
      const std::ptrdiff_t before = keys.begin - block;
      const std::ptrdiff_t pairs_before = before / 2;
      const std::ptrdiff_t pairs = pairs_of(before % 2 + keys.size());
      auto* const words = reinterpret_cast<std::uint32_t*>(weights);
      TileProduct product{};
      product.rows = depth;
      product.blocks = tile_blocks(before + keys.size());
      product.lanes = lanes;
      product.a = products_.values_ + (block - first_block_);
      product.a_row = products_.value_stride_;
      product.b = words - pairs_before * lanes;
      product.c = out;
      product.accumulate = accumulate;
      product.prefetch = &prefetch;
      product.side = side;
      std::fill(words - pairs_before * lanes, words, 0u);
      std::fill(words + pairs * lanes,
                words + (tile_depth / 2 * product.blocks - pairs_before) * lanes, 0u);
      multiply(products_.tiles_, product);
    }

    // Without NaN and ∞ the bits of add_values: these are taken out of the tile and multiplied
    // apart, where they are visible.
    void add_visible_values(const Panel<float>& panel, KeyRange keys, float* scores, float* weights,
                            float* out, bool accumulate) {
      clean();
      RowPrefetch nothing;
      add_values(panel, keys, weights, out, accumulate, nothing, nullptr);
      const ForwardCall<float>& call = products_.call_;
      const int lanes = panel.lanes();
      for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key) {
        const char* const row =
            call.value.row(task_.item, task_.kv_head, first_row() + key - tile_.begin);
        for (std::ptrdiff_t column = 0; column < call.problem.value_depth; ++column) {
          std::uint16_t bits;
          std::memcpy(&bits, row + column * call.value.column_stride, sizeof(bits));
          if (!simd::is_finite(bits)) {
            const std::ptrdiff_t word = key / 2 - keys.begin / 2;
            add_visible(scores + (key - keys.begin) * lanes,
                        reinterpret_cast<const std::uint32_t*>(weights) + word * lanes,
                        key % 2 != 0, simd::float_of(bits), lanes, out + column * lanes);
          }
        }
      }
    }

   private:
    static void add_visible(const float* scores, const std::uint32_t* words, bool odd, float value,
                            int lanes, float* out) {
      for (int lane = 0; lane < lanes; ++lane) {
        if (scores[lane] == minus_infinity<float>) continue;
        const std::uint32_t bits = odd ? words[lane] >> 16 : words[lane];
        out[lane] += value * simd::float_of(static_cast<std::uint16_t>(bits));
      }
    }

    std::ptrdiff_t first_row() const {
      return products_.call_.problem.items[task_.item].key_begin + tile_.begin;
    }
    // The transposed values of this tile.
    std::ptrdiff_t value_columns() const {
      return tile_depth * tile_blocks(tile_.end - first_block_);
    }

    void load_values() {
      if (loaded_) return;
      const ForwardCall<float>& call = products_.call_;
      transpose_tile_rows(call.value, task_.item, task_.kv_head, first_row(), tile_.size(),
                          call.problem.value_depth, tile_.begin - first_block_, products_.values_,
                          products_.value_stride_);
      loaded_ = true;
    }
    bool finite() {
      if (!checked_) {
        load_values();
        finite_ = all_finite(Rows<std::uint16_t>{products_.values_, products_.value_stride_},
                             products_.call_.problem.value_depth, value_columns(), 0x7F80);
        checked_ = true;
      }
      return finite_;
    }
    void clean() {
      if (cleaned_) return;
      for (std::ptrdiff_t column = 0; column < products_.call_.problem.value_depth; ++column) {
        std::uint16_t* const row = products_.values_ + column * products_.value_stride_;
        std::replace_if(
            row, row + value_columns(), [](std::uint16_t bits) { return !simd::is_finite(bits); },
            std::uint16_t{0});
      }
      cleaned_ = true;
    }

    const TileProducts& products_;
    const RowTask& task_;
    KeyRange tile_;
    std::ptrdiff_t first_block_;  // the key of column 0 of the transposed values
    Rows<std::uint16_t> key_rows_{nullptr, 0};
    bool loaded_ = false, checked_ = false, finite_ = false;
    bool cleaned_ = false;  // the transposed values have zeros in place of NaN and ∞
  };

 private:
  std::ptrdiff_t panel_pairs() const { return tile_depth / 2 * tile_blocks(call_.problem.depth); }
  std::ptrdiff_t panel_size() const { return panel_pairs() * Panel<float>::max_lanes; }
  std::uint32_t* query_panel(int index) const { return query_panels_ + index * panel_size(); }

  mutable Tiles tiles_;
  std::uint32_t* query_panels_;  // each (whole blocks of D / 2, lanes)
  std::uint16_t* keys_;          // (tile, whole blocks of D), for keys that cannot be read in place
  std::uint16_t* values_;        // (Dv, value_stride)
  std::ptrdiff_t value_stride_;
};

}  // namespace heedful
