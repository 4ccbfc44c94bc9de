// The gradients of one key tile on tiles of bfloat16 (AMX or its model), the counterpart of
// FloatGradients, with these operands (A in rows along the depth, B in words of two):
//
//   S    [key][query] = K Qᵀ         A = keys, in place            B = query panel
//   dP   [key][query] = V dOᵀ        A = values, in place          B = dout panel
//   dV   [key][d] += Pᵀ dO           A = probabilities, rounded    B = rows of dout, two to a word
//   dK   [key][d] += dSᵀ Q           A = dproducts, rounded        B = rows of query, likewise
//   dQᵀ  [d][query] = Kᵀ dSᵀ         A = keys, transposed once     B = dproducts of two keys
//
// So P and dS are written where the pass that computes them has them, dS in two layouts, and only
// keys, queries and dout are transposed. Sums are in float; see rounded_dscores.hpp for what is
// rounded. dV and dK are added for several panels together (TileSums).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arrays/prefetch.hpp"
#include "attention/backward/bias_gradient.hpp"
#include "attention/backward/call.hpp"
#include "attention/backward/key_tile/bfloat16/panel_batch.hpp"
#include "attention/backward/key_tile/bfloat16/rounded_dscores.hpp"
#include "attention/backward/key_tile/bfloat16/tile_keys.hpp"
#include "attention/backward/key_tile/bfloat16/tile_scratch.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"
#include "kernels/bfloat16_panels.hpp"
#include "kernels/nonfinite.hpp"
#include "kernels/tile_kernel.hpp"
#include "kernels/tile_panels.hpp"

namespace heedful {

template <class Tiles>
class TileGradients {
 public:
  using Scratch = TileScratch;

  TileGradients(const BackwardCall<float>& call, const BackwardTask& task,
                const TileScratch& scratch)
      : call_(call), task_(task), s_(scratch), tile_(call, task, scratch), batch_(scratch) {}

  KeyRange keys() const { return tile_.range; }

  // Panel of the scratch against the tile. Returns the keys visible to some query, or none.
  KeyRange add_panel(RowPrefetch& prefetch) {
    const Panel<float>& panel = *s_.panel;
    const std::ptrdiff_t begin = std::max(panel.any.begin, tile_.range.begin) - tile_.range.begin;
    const std::ptrdiff_t end = std::min(panel.any.end, tile_.range.end) - tile_.range.begin;
    if (begin >= end) return {0, 0};
    tile_.load();
    if (!batch_.has_room(panel.lanes())) batch_.flush(tiles_);
    load_panel();
    guarded_ = hides() && !(tile_.finite() && s_.dkey.finite(panel.lanes(), batch_.queries()) &&
                            s_.dvalue.finite(panel.lanes(), batch_.queries()));
    if (guarded_) {
      std::fill_n(s_.score_copy, tile_.range.size() * panel.lanes(), minus_infinity<float>);
    }
    first_block_ = begin / block_keys;
    const std::ptrdiff_t end_block = tile_blocks(end);
    bool any = false;
    for (std::ptrdiff_t block = first_block_; block < end_block; ++block) {
      any |= add_block(block, prefetch);
    }
    if (!any) return {0, 0};
    const KeyRange range{
        first_block_ * block_keys,
        std::min(end_block * block_keys, TileKeys::whole_tiles(tile_.range.size()))};
    write_dquery(end_block);
    if (guarded_) add_nonfinite(range);
    batch_.add(range, panel.lanes());
    const KeyRange visible{tile_.range.begin + range.begin,
                           std::min(tile_.range.begin + range.end, tile_.range.end)};
    if (s_.bias_sums) {
      sum_bias_gradient(panel, visible.size(), s_.dscores, s_.bias_sums + range.begin);
    }
    return visible;
  }

  // Adds the sums to the rows of the results.
  void add_to_outputs() {
    batch_.flush(tiles_);
    if (batch_.has_totals()) batch_.flush_level();
    const auto add = [&](const TileSums& sums, const TensorView& to, double factor) {
      return sums.add_to(to, task_.item, task_.kv_head, tile_.first_row(), tile_.range.size(),
                         factor, task_.chunk == 0, batch_.has_totals());
    };
    const bool dkey_finite = add(s_.dkey, call_.tensors.dkey, call_.problem.product_slope());
    const bool dvalue_finite = add(s_.dvalue, call_.tensors.dvalue, 1);
    record_overflow(dkey_finite && dvalue_finite);
  }

 private:
  static constexpr std::ptrdiff_t block_keys = TileScratch::block_keys;

  // Whether a key of the tile may be hidden from a query of the panel.
  bool hides() const {
    const Panel<float>& panel = *s_.panel;
    return call_.problem.has_masks() || call_.problem.key_dropout_p > 0 ||
           call_.problem.exclude_self || panel.all.begin > tile_.range.begin ||
           panel.all.end < tile_.range.end;
  }

  // Query and dout, as panels for scores and as rows of the batch; base, factor and delta.
  void load_panel() {
    const Panel<float>& panel = *s_.panel;
    const std::ptrdiff_t first = call_.problem.items[task_.item].query_begin;
    load_rows_and_panel(call_.tensors.query, s_.query_panel, s_.dkey);
    load_rows_and_panel(call_.tensors.dout, s_.dout_panel, s_.dvalue);
    for (int lane = 0; lane < panel.lanes(); ++lane) {
      const std::ptrdiff_t head = panel.head[lane], row = panel.query[lane];
      s_.base[lane] = call_.scales.base(task_.item, head, row);
      s_.factor[lane] = call_.scales.factor(task_.item, head, row);
      s_.delta[lane] =
          *reinterpret_cast<const float*>(call_.tensors.delta.row(task_.item, head, first + row));
    }
  }
  void load_rows_and_panel(const TensorView& view, std::uint32_t* to, const TileSums& sums) {
    const Panel<float>& panel = *s_.panel;
    const std::ptrdiff_t depth = call_.problem.depth, pairs = pairs_of(depth);
    const std::ptrdiff_t first = call_.problem.items[task_.item].query_begin + panel.query[0];
    const std::ptrdiff_t whole_pairs = tile_depth / 2 * tile_blocks(depth);
    const Rows<std::uint16_t> rows =
        load_paired_columns(view, task_.item, panel.head[0], first, panel.count, depth, s_.rows);
    const std::uint16_t* from[Panel<float>::max_lanes];
    for (int lane = 0; lane < panel.lanes(); ++lane) {
      from[lane] = rows.data + std::min(lane, panel.count - 1) * rows.stride;
    }
    words_to_panel(from, panel.lanes(), pairs, to);
    std::fill(to + pairs * panel.lanes(), to + whole_pairs * panel.lanes(), 0u);
    sums.load_rows(view, task_.item, panel.head[0], first, panel.count, panel.lanes(),
                   batch_.queries());
  }

  // to[key][lane] = factor · rows[key] · panel[lane], for `keys` from `key`
  void write_products(Rows<std::uint16_t> rows, std::ptrdiff_t key, std::ptrdiff_t keys,
                      const std::uint32_t* panel, float factor, float* to, RowPrefetch& prefetch) {
    TileProduct product{};
    product.rows = keys;
    product.blocks = tile_blocks(call_.problem.depth);
    product.lanes = s_.panel->lanes();
    product.a = rows.data + key * rows.stride;
    product.a_row = rows.stride;
    product.b = panel;
    product.c = to;
    product.factor = factor;
    product.prefetch = &prefetch;
    multiply(tiles_, product);
  }

  // A block of keys: coefficients of both sums, words and rests. False if all are hidden.
  bool add_block(std::ptrdiff_t block, RowPrefetch& prefetch) {
    const Panel<float>& panel = *s_.panel;
    const Problem& problem = call_.problem;
    const int lanes = panel.lanes();
    const std::ptrdiff_t first = block * block_keys;
    const KeyRange here{tile_.range.begin + first,
                        std::min(tile_.range.begin + first + block_keys, tile_.range.end)};
    const TilePlan<float> plan =
        plan_tile(problem, task_.item, panel, here, call_.rule, s_.mask_buffer);
    if (plan.keys.empty()) {
      clear_keys(block, {0, block_keys});
      return false;
    }
    const KeyRange seen{plan.keys.begin - here.begin, plan.keys.end - here.begin};
    const std::ptrdiff_t from = seen.begin / 16 * 16,
                         count = TileKeys::whole_tiles(seen.end) - from;
    write_products(tile_.keys, first + from, count, s_.query_panel, call_.rule.query_factor,
                   s_.scores + from * lanes, prefetch);
    float* const scores = s_.scores + seen.begin * lanes;
    float* const derivative = s_.cap_derivative ? s_.cap_derivative + seen.begin * lanes : nullptr;
    bool partial = finish_tile(problem, task_.item, panel, plan, call_.rule,
                               ScoreBuffers<float>{scores, s_.mask_buffer, nullptr, derivative})
                       .partial;
    if (guarded_) {
      std::copy_n(scores, seen.size() * lanes, s_.score_copy + (first + seen.begin) * lanes);
    }
    write_products(tile_.values, first + from, count, s_.dout_panel, 1,
                   s_.dprobabilities + from * lanes, prefetch);
    if (s_.keep_factors) {
      write_keep_factors(problem, task_.item, panel, plan.keys, call_.dropout_factor,
                         s_.keep_factors + seen.begin * lanes);
    }
    // words are of two keys: one that was not computed is hidden
    const KeyRange pairs{seen.begin / 2 * 2, (seen.end + 1) / 2 * 2};
    for (const std::ptrdiff_t key : {pairs.begin, pairs.end - 1}) {
      if (key >= seen.begin && key < seen.end) continue;
      hide_key(key);
      partial = true;
    }
    round(block, pairs, partial);
    clear_keys(block, {0, pairs.begin});
    clear_keys(block, {pairs.end, block_keys});
    return true;
  }

  void hide_key(std::ptrdiff_t key) {
    const int lanes = s_.panel->lanes();
    std::fill_n(s_.scores + key * lanes, lanes, minus_infinity<float>);
    if (s_.cap_derivative) std::fill_n(s_.cap_derivative + key * lanes, lanes, 0.0f);
    if (s_.keep_factors) std::fill_n(s_.keep_factors + key * lanes, lanes, 0.0f);
  }

  void round(std::ptrdiff_t block, KeyRange keys, bool partial) {
    const int lanes = s_.panel->lanes();
    const std::ptrdiff_t at = keys.begin * lanes, key = block * block_keys + keys.begin;
    const std::ptrdiff_t word = (key - first_block_ * block_keys) / 2 * lanes;
    RoundedDscores rounded{};
    rounded.keys = keys.size();
    rounded.lanes = lanes;
    rounded.partial = partial;
    rounded.scores = s_.scores + at;
    rounded.dprobabilities = s_.dprobabilities + at;
    rounded.base = s_.base;
    rounded.factor = s_.factor;
    rounded.delta = s_.delta;
    rounded.keep_factors = s_.keep_factors ? s_.keep_factors + at : nullptr;
    rounded.cap_derivative = s_.cap_derivative ? s_.cap_derivative + at : nullptr;
    rounded.row = TileSums::batch;
    rounded.probabilities = s_.dvalue.coefficients(key, batch_.queries());
    rounded.dproducts = s_.dkey.coefficients(key, batch_.queries());
    rounded.words = s_.words + word;
    rounded.rests = s_.rests + word;
    rounded.dscores = s_.dscores ? s_.dscores + 2 * word : nullptr;
    round_dscores(call_.rule, rounded);
  }

  // Zeros for hidden keys of a block; an even range.
  void clear_keys(std::ptrdiff_t block, KeyRange keys) {
    if (keys.empty()) return;
    const int lanes = s_.panel->lanes();
    const std::ptrdiff_t first = block * block_keys;
    const std::ptrdiff_t word = (first + keys.begin - first_block_ * block_keys) / 2 * lanes;
    std::fill_n(s_.words + word, keys.size() / 2 * lanes, 0u);
    std::fill_n(s_.rests + word, keys.size() / 2 * lanes, 0u);
    if (s_.dscores) std::fill_n(s_.dscores + 2 * word, keys.size() * lanes, 0.0f);
    batch_.clear_coefficients({first + keys.begin, first + keys.end}, batch_.queries(), lanes);
  }

  void write_dquery(std::ptrdiff_t end_block) {
    if (guarded_) tile_.clean();
    TileProduct product{};
    product.rows = TileKeys::whole_tiles(call_.problem.depth);
    product.blocks = end_block - first_block_;
    product.lanes = s_.panel->lanes();
    product.a = tile_.transposed(first_block_ * block_keys);
    product.a_row = s_.tile;
    product.b = s_.words;
    product.c = s_.dquery;
    multiply(tiles_, product);
    product.b = s_.rests;
    product.accumulate = true;
    multiply(tiles_, product);
    record_overflow(
        all_finite(Rows<float>{s_.dquery, product.lanes}, call_.problem.depth, product.lanes));
  }

  // No flag of the processor reports it.
  void record_overflow(bool finite) const {
    if (!finite && call_.tensors.overflowed) {
      call_.tensors.overflowed->store(true, std::memory_order_relaxed);
    }
  }

  // Multiplies NaN and ∞ apart, where they are visible.
  void add_nonfinite(KeyRange range) {
    const Panel<float>& panel = *s_.panel;
    const int lanes = panel.lanes();
    const KeyRange keys{range.begin, std::min(range.end, tile_.range.size())};
    s_.dkey.add_nonfinite(panel.count, lanes, batch_.queries(), keys, s_.score_copy);
    s_.dvalue.add_nonfinite(panel.count, lanes, batch_.queries(), keys, s_.score_copy);
    tile_.add_nonfinite(lanes, batch_.queries(), keys, s_.score_copy, s_.dquery);
  }

  const BackwardCall<float>& call_;
  const BackwardTask& task_;
  const TileScratch& s_;
  TileKeys tile_;
  PanelBatch batch_;
  Tiles tiles_;
  bool guarded_ = false;            // of this panel: NaN or ∞ may be hidden
  std::ptrdiff_t first_block_ = 0;  // of this panel
};

}  // namespace heedful
