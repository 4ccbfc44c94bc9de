// The scratch memory of a decode task: the state of its rows, one key/value head after the other,
// and buffers for one head at a time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <new>

#include "arrays/rows.hpp"
#include "arrays/work_area.hpp"
#include "attention/forward/decode/listed_tile.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/problem/row_task.hpp"
#include "attention/scores/key_scales.hpp"
#include "kernels/bfloat16_dot.hpp"
#include "kernels/dot_kernel.hpp"
#include "kernels/int16_dot.hpp"
#include "kernels/int16_weigh.hpp"
#include "kernels/row_vectors.hpp"

namespace heedful {

// Whether queries and keys are bfloat16, in a layout that dot_pair_rows can read.
template <class T>
bool uses_pairs(const ForwardCall<T>& call) {
  const auto readable = [](const TensorView& view) {
    return view.type == ElementType::bfloat16 && view.column_stride == 2 &&
           view.row_stride % 4 == 0;
  };
  const Problem& problem = call.problem;
  return problem.bfloat16.row_scores == simd::Bfloat16Way::pairs && problem.may_round_weights() &&
         readable(call.query) && readable(call.key) && problem.depth > 0 &&
         problem.depth % pair_columns == 0;
}

// Whether rows of int8 are multiplied as integers, by queries and weights of int16.
template <class T>
bool multiplies_int8(const TensorView& view, std::ptrdiff_t columns) {
  static_assert(int16_columns == interleaved_columns);
  return reads_int8<T>(view, columns) && columns % int16_columns == 0 &&
         columns <= max_int16_columns && view.row_stride % 2 == 0;
}

// The rows of one key/value head.
template <class T>
struct DecodeHead {
  RowTask task;                  // of this head alone
  T* queries;                    // (padded rows, depth), scaled, see DotQueries
  T* outs;                       // (rows, out_depth), see Weighing
  T* range_outs;                 // (rows, out_depth): of one range of a tile
  T* maxima;                     // (rows)
  T* sums;                       // (rows)
  T* scores;                     // (rows, tile)
  T* mask;                       // (rows, tile): mask and bias as values to add
  T* score_copy;                 // (rows, tile): for products that must skip hidden keys
  std::int16_t* int16_queries;   // (padded rows, D), see Int16Rows
  T* query_scales;               // (rows)
  std::int16_t* int16_weights;   // (rows, tile), see Int16Weighing
  T* weight_scales;              // (rows)
  std::int32_t* int_sums;        // (rows, Dv)
  bool rounded_queries;          // they are those of int16
  bool rounded_weights = false;  // those of the tile are
  bool visible = false;          // some key of the tile, from some row
  bool partial = false;          // some key of the tile is hidden from some row

  std::uint16_t* paired_queries() const { return reinterpret_cast<std::uint16_t*>(queries); }
};

template <class T>
struct DecodeScratch {
  std::size_t size;
  RowVectors<T> key_vectors;    // of D
  RowVectors<T> value_vectors;  // of Dv
  std::ptrdiff_t tile;          // maximum keys of a tile, padded to whole vectors
  std::ptrdiff_t depth;         // D, padded to whole vectors
  std::ptrdiff_t out_depth;     // Dv, padded to whole vectors
  bool pairs;                   // the queries are pairs of bfloat16, unscaled
  bool int8_keys, int8_values;  // are multiplied as integers
  T* keys;                      // (tile, depth), for keys that cannot be read in place
  T* values;                    // (tile, out_depth), likewise
  T* row;                       // (D or Dv)
  // of int8 on pages that are multiplied as integers: (tile + listed_ahead + a block), the places
  // of rows
  const std::int8_t **key_places, **value_places;
  DecodeHead<T>* heads;

  // For tasks of at most `rows` rows in all heads, those of a head padded.
  DecodeScratch(const ForwardCall<T>& call, std::ptrdiff_t rows, std::byte* memory)
      : key_vectors(call.problem.depth), value_vectors(call.problem.value_depth) {
    const Problem& problem = call.problem;
    tile = padded<T>(KeyTiles::max_keys(tile_keys(problem)));  // at most max_int16_keys
    depth = padded<T>(problem.depth);
    out_depth = padded<T>(problem.value_depth);
    pairs = uses_pairs(call);
    int8_keys = multiplies_int8<T>(call.key, problem.depth);
    int8_values = multiplies_int8<T>(call.value, problem.value_depth);
    WorkArea area(memory);
    heads = area.take<DecodeHead<T>>(rows);
    first_.queries = area.take<T>(rows * depth);
    first_.outs = area.take<T>(rows * out_depth);
    first_.range_outs = area.take<T>(rows * out_depth);
    first_.maxima = area.take<T>(rows);
    first_.sums = area.take<T>(rows);
    first_.scores = area.take<T>(rows * tile);
    first_.mask = area.take<T>(problem.has_masks() ? rows * tile : 0);
    first_.score_copy = area.take<T>(rows * tile);
    first_.int16_queries = area.take<std::int16_t>(int8_keys ? rows * depth : 0);
    first_.query_scales = area.take<T>(int8_keys ? rows : 0);
    first_.int16_weights = area.take<std::int16_t>(int8_values ? rows * tile : 0);
    first_.weight_scales = area.take<T>(int8_values ? rows : 0);
    first_.int_sums = area.take<std::int32_t>(int8_values ? rows * out_depth : 0);
    keys = area.take<T>(tile * depth);
    values = area.take<T>(tile * out_depth);
    row = area.take<T>(std::max(depth, out_depth));
    key_places = take_places(area, int8_keys && call.key.pages);
    value_places = take_places(area, int8_values && call.value.pages);
    size = area.size();
  }

  // Gives each head of the task its part of the memory.
  void start(const RowTask& task) const {
    for (std::ptrdiff_t h = 0; h < task.kv_heads; ++h) {
      const std::ptrdiff_t first_row = h * padded_dot_rows(task.rows);
      new (heads + h) DecodeHead<T>{task.of_head(h),
                                    first_.queries + first_row * depth,
                                    first_.outs + first_row * out_depth,
                                    first_.range_outs + first_row * out_depth,
                                    first_.maxima + first_row,
                                    first_.sums + first_row,
                                    first_.scores + first_row * tile,
                                    first_.mask + first_row * tile,
                                    first_.score_copy + first_row * tile,
                                    first_.int16_queries + first_row * depth,
                                    first_.query_scales + first_row,
                                    first_.int16_weights + first_row * tile,
                                    first_.weight_scales + first_row,
                                    first_.int_sums + first_row * out_depth,
                                    int8_keys};
    }
  }

 private:
  const std::int8_t** take_places(WorkArea& area, bool listed) const {
    return listed ? area.take<const std::int8_t*>(tile + listed_ahead + prefetched_block) : nullptr;
  }

  DecodeHead<T> first_{};
};

}  // namespace heedful
