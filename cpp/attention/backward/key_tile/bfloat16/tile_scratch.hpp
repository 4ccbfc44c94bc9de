// The scratch memory of one task of the backward pass on tiles of bfloat16, the counterpart of
// BackwardScratch: scores are those of a block of 32 keys, which stay in L1.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arrays/rows.hpp"
#include "arrays/work_area.hpp"
#include "attention/backward/call.hpp"
#include "attention/backward/key_tile/bfloat16/tile_sums.hpp"
#include "attention/problem/panel.hpp"
#include "attention/scores/mask.hpp"
#include "kernels/tile_kernel.hpp"
#include "kernels/tile_panels.hpp"

namespace heedful {

struct TileScratch {
  static constexpr std::ptrdiff_t lanes = Panel<float>::max_lanes;
  static constexpr std::ptrdiff_t block_keys = tile_depth;

  WorkArea area;
  std::size_t size;
  std::ptrdiff_t tile;  // capacity in keys, whole blocks

  // Of a panel of queries
  Panel<float>* panel;
  float* delta_rows;             // (2, Dv): a row of out and of dout
  std::uint16_t* rows;           // (lanes, D), for queries and dout that are not read in place
  std::uint32_t* query_panel;    // (D / 2 in whole blocks, lanes)
  std::uint32_t* dout_panel;     // likewise
  float *base, *factor, *delta;  // (lanes), as in BackwardScratch
  float* dquery;                 // (D in whole tiles, lanes)
  float* dquery_rows;            // (lanes, D)

  // Of the panel and a block of keys, each (block_keys, lanes)
  float* scores;
  float* dprobabilities;
  float* mask_buffer;
  float* cap_derivative;  // null without a softcap
  float* keep_factors;    // null without dropout

  // Of the panel and the key tile
  std::uint32_t* words;  // (tile / 2, lanes): rounded dproducts of two keys
  std::uint32_t* rests;  // (tile / 2, lanes): what is missing in words
  float* dscores;        // (tile, lanes); null without dbias
  float* score_copy;     // (tile, lanes), where NaN or ∞ may be hidden

  // Of the key tile
  std::uint16_t* keys;        // (tile, D in whole blocks), for keys that are not read in place
  std::uint16_t* values;      // likewise
  std::uint16_t* transposed;  // (D in whole tiles, tile): the keys
  double* bias_sums;          // as in BackwardScratch
  TileSums dkey, dvalue;

  TileScratch(const BackwardCall<float>& call, std::byte* memory)
      : area(memory),
        tile(block_keys * tile_blocks(call.partition.max_tile_keys())),
        dkey(call.problem.depth, tile, call.partition.has_long_sums(), area),
        dvalue(call.problem.depth, tile, call.partition.has_long_sums(), area) {
    const Problem& problem = call.problem;
    const std::ptrdiff_t depth = problem.depth, block = block_keys * lanes;
    const std::ptrdiff_t whole_depth = tile_depth * tile_blocks(depth);
    panel = area.take<Panel<float>>(1);
    delta_rows = area.take<float>(2 * padded<float>(depth));
    rows = area.take<std::uint16_t>(lanes * (depth + 1));
    query_panel = area.take<std::uint32_t>(whole_depth / 2 * lanes);
    dout_panel = area.take<std::uint32_t>(whole_depth / 2 * lanes);
    base = area.take<float>(lanes);
    factor = area.take<float>(lanes);
    delta = area.take<float>(lanes);
    dquery = area.take<float>(whole_depth * lanes);
    dquery_rows = area.take<float>(lanes * depth);
    scores = area.take<float>(block);
    dprobabilities = area.take<float>(block);
    mask_buffer = area.take<float>(std::max(block, mask_tile_size<float>(block_keys)));
    cap_derivative = problem.softcap > 0 ? area.take<float>(block) : nullptr;
    keep_factors = problem.dropout_p > 0 ? area.take<float>(block) : nullptr;
    words = area.take<std::uint32_t>(tile / 2 * lanes);
    rests = area.take<std::uint32_t>(tile / 2 * lanes);
    dscores = call.tensors.dbias ? area.take<float>(tile * lanes) : nullptr;
    score_copy = area.take<float>(tile * lanes);
    keys = area.take<std::uint16_t>(tile * whole_depth);
    values = area.take<std::uint16_t>(tile * whole_depth);
    transposed = area.take<std::uint16_t>(whole_depth * tile);
    bias_sums = call.bias_adds == BiasAdds::own_row ? area.take<double>(tile) : nullptr;
    size = area.size();
  }
};

}  // namespace heedful
