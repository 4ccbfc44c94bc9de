// The scratch memory of a decode task.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arrays/rows.hpp"
#include "arrays/work_area.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/problem/row_task.hpp"
#include "attention/scores/key_scales.hpp"
#include "kernels/bfloat16_dot.hpp"
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

template <class T>
struct DecodeScratch {
  std::size_t size;
  std::ptrdiff_t tile;                    // maximum keys of a tile, padded to whole vectors
  RowVectors<T> key_vectors;              // of D
  RowVectors<T> value_vectors;            // of Dv
  std::ptrdiff_t depth;                   // D, padded to whole vectors
  std::ptrdiff_t out_depth;               // Dv, padded to whole vectors
  bool pairs;                             // the queries are pairs of bfloat16, unscaled
  bool rounded_queries, rounded_weights;  // see int16_queries, int16_weights
  T* queries;                             // (rows, depth), scaled, see DotQueries
  T* outs;                                // (rows, out_depth), see Weighing
  T* range_outs;                          // (rows, out_depth): of one range of a tile
  T* maxima;                              // (rows)
  T* sums;
  T* scores;                    // (rows, tile)
  T* mask;                      // (rows, tile): mask and bias as values to add
  T* score_copy;                // (rows, tile): for products that must skip hidden keys
  T* keys;                      // (tile, depth), for keys that cannot be read in place
  T* values;                    // (tile, out_depth), likewise
  T* row;                       // (D or Dv)
  std::int16_t* int16_queries;  // (rows, D), see Int16Rows
  T* query_scales;              // (rows)
  std::int16_t* int16_weights;  // (rows, tile), see Int16Weighing
  T* weight_scales;             // (rows)
  std::int32_t* int_sums;       // (rows, Dv)

  DecodeScratch(const ForwardCall<T>& call, std::byte* memory)
      : key_vectors(call.problem.depth), value_vectors(call.problem.value_depth) {
    const Problem& problem = call.problem;
    constexpr std::ptrdiff_t rows = decode_rows<T>;
    tile = padded<T>(KeyTiles::max_keys(tile_keys(problem)));  // at most max_int16_keys
    depth = padded<T>(problem.depth);
    pairs = uses_pairs(call);
    rounded_queries = multiplies_int8<T>(call.key, problem.depth);
    rounded_weights = multiplies_int8<T>(call.value, problem.value_depth);
    out_depth = padded<T>(problem.value_depth);
    WorkArea area(memory);
    queries = area.take<T>(rows * depth);
    outs = area.take<T>(rows * out_depth);
    range_outs = area.take<T>(rows * out_depth);
    maxima = area.take<T>(rows);
    sums = area.take<T>(rows);
    scores = area.take<T>(rows * tile);
    mask = area.take<T>(problem.has_masks() ? rows * tile : 0);
    score_copy = area.take<T>(rows * tile);
    keys = area.take<T>(tile * depth);
    values = area.take<T>(tile * out_depth);
    row = area.take<T>(std::max(depth, out_depth));
    int16_queries = area.take<std::int16_t>(rounded_queries ? rows * problem.depth : 0);
    query_scales = area.take<T>(rounded_queries ? rows : 0);
    int16_weights = area.take<std::int16_t>(rounded_weights ? rows * tile : 0);
    weight_scales = area.take<T>(rounded_weights ? rows : 0);
    int_sums = area.take<std::int32_t>(rounded_weights ? rows * problem.value_depth : 0);
    size = area.size();
  }
  std::uint16_t* paired_queries() const { return reinterpret_cast<std::uint16_t*>(queries); }
};

}  // namespace heedful
