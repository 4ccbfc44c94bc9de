// The scratch memory of one task of the backward pass: what each buffer holds, and which share
// memory.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/rows.hpp"
#include "arrays/work_area.hpp"
#include "attention/backward/call.hpp"
#include "attention/problem/panel.hpp"
#include "attention/scores/mask.hpp"

namespace heedful {

template <class T>
struct BackwardScratch {
  static constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;

  std::size_t size;
  std::ptrdiff_t depth, value_depth;  // D and Dv, padded to whole vectors

  // Of a panel of queries
  Panel<T>* panel;
  T* delta_rows;   // (2, value_depth): a row of out and of dout
  T* query_rows;   // (lanes, depth)
  T* dout_rows;    // (lanes, value_depth)
  T* query_panel;  // (D, lanes), scaled
  T* dout_panel;   // (Dv, lanes)
  T* base;         // (lanes): probability = 2^(exponent · (score − base)) · factor
  T* factor;       // (lanes)
  T* delta;        // (lanes)
  T* dquery;       // (D, lanes)
  T* dquery_rows;  // (lanes, D)
  T* penalty;      // (6, lanes): the coefficients; null without

  // Of the panel and the key tile, each (keys, lanes)
  T* mask_buffer;     // the buffer of mask_tile
  T* scores;          // −∞ where hidden
  T* score_copy;      // for products that must skip hidden keys
  T* cap_derivative;  // null without a softcap
  T* keep_factors;    // the factors of dropout: 0 or 1 / (1 − p); null without
  T* target;          // of a penalty; null without
  T* dprobabilities;  // after dropout
  T* probabilities;   // after dropout
  T* dscores;         // the gradient of the scores, and of a bias
  T* dproducts;       // the gradient of query · key: dscores, before a softcap

  // Of the key tile
  T* keys;                // (keys, depth), for keys that are not read in place
  T* values;              // (keys, value_depth), likewise
  T* dkey;                // (keys, depth)
  T* dvalue;              // (keys, value_depth)
  double* dkey_totals;    // like dkey: the levels summed before; null without long sums
  double* dvalue_totals;  // like dvalue
  double* bias_sums;      // (keys), of one head; null unless its queries share a row of dbias

  BackwardScratch(const BackwardCall<T>& call, std::byte* memory) {
    const Problem& problem = call.problem;
    const std::ptrdiff_t tile = call.partition.max_tile_keys();
    depth = padded<T>(problem.depth);
    value_depth = padded<T>(problem.value_depth);
    const std::ptrdiff_t elements = tile * lanes;
    WorkArea area(memory);
    panel = area.take<Panel<T>>(1);
    query_rows = area.take<T>(lanes * depth);
    dout_rows = area.take<T>(lanes * value_depth);
    query_panel = area.take<T>(problem.depth * lanes);
    dout_panel = area.take<T>(problem.value_depth * lanes);
    base = area.take<T>(lanes);
    factor = area.take<T>(lanes);
    delta = area.take<T>(lanes);
    scores = area.take<T>(elements);
    dprobabilities = area.take<T>(elements);
    mask_buffer = area.take<T>(std::max(elements, mask_tile_size<T>(tile)));
    cap_derivative = problem.softcap > 0 ? area.take<T>(elements) : nullptr;
    keep_factors = problem.dropout_p > 0 ? area.take<T>(elements) : nullptr;
    const Penalty& penalised = call.tensors.penalty;
    penalty = penalised ? area.take<T>(penalty_coefficients * lanes) : nullptr;
    target = penalised.target ? area.take<T>(elements) : nullptr;
    dquery = area.take<T>(problem.depth * lanes);
    dquery_rows = area.take<T>(lanes * problem.depth);
    dkey = area.take<T>(tile * depth);
    dvalue = area.take<T>(tile * value_depth);
    const bool long_sums = call.partition.has_long_sums();
    dkey_totals = long_sums ? area.take<double>(tile * depth) : nullptr;
    dvalue_totals = long_sums ? area.take<double>(tile * value_depth) : nullptr;
    bias_sums = call.bias_adds == BiasAdds::own_row ? area.take<double>(tile) : nullptr;
    const auto copied = [](const TensorView& view, std::ptrdiff_t columns) {
      return !reads_in_place<T>(view, columns, InPlace::close);
    };
    keys = area.take<T>(copied(call.tensors.key, problem.depth) ? tile * depth : 0);
    values = area.take<T>(copied(call.tensors.value, problem.value_depth) ? tile * value_depth : 0);
    size = area.size();

    // Buffers share memory only here, so that those of a key tile stay in L2. Each is written after
    // the last read of the other:
    delta_rows = dout_rows;    // delta is written before dout is loaded
    probabilities = scores;    // each is computed from the score at its position, by write_dscores,
    dscores = dprobabilities;  // which reads both before it writes both
    score_copy = mask_buffer;  // scores are complete by then, mask and bias included
    // probabilities are added to dvalue by then
    dproducts = cap_derivative ? probabilities : dscores;
  }
};

}  // namespace heedful
