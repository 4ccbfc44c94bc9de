// The work area of one task of the backward pass.
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
struct BackwardAreas {
  static constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;

  std::size_t size;
  std::ptrdiff_t depth, value_depth;  // D and Dv, whole vectors
  Panel<T>* panel;
  T* query_rows;        // (lanes, depth)
  T* dout_rows;         // (lanes, value_depth)
  T* query_panel;       // (D, lanes), scaled
  T* dout_panel;        // (Dv, lanes)
  T* base;              // (lanes): weight = 2^(exponent · (score − base)) · factor
  T* factor;            // (lanes)
  T* delta;             // (lanes)
  T* weights;           // (block, lanes): scores, then weights
  T* dscores;           // (block, lanes): dweights, then dscores
  T* mask;              // what mask_tile needs; then a copy of the scores
  T* cap_slope;         // (block, lanes), with a softcap
  T* kept;              // (block, lanes), with dropout
  T* dquery;            // (D, lanes)
  T* dquery_rows;       // (lanes, D)
  T* dkey;              // (block, depth)
  T* dvalue;            // (block, value_depth)
  double* long_dkey;    // as dkey, with long_sums: what was taken out of it
  double* long_dvalue;  // as dvalue
  double* bias_sums;    // (block), where the queries share a row of dbias: of one head
  T* keys;              // (block, depth), for keys that cannot be read in place
  T* values;            // (block, value_depth), likewise

  BackwardAreas(const BackwardCall<T>& call, std::byte* scratch) {
    const Problem& problem = call.problem;
    const std::ptrdiff_t block = most_block_keys(problem);
    depth = padded<T>(problem.depth);
    value_depth = padded<T>(problem.value_depth);
    WorkArea area(scratch);
    panel = area.take<Panel<T>>(1);
    query_rows = area.take<T>(lanes * depth);
    dout_rows = area.take<T>(lanes * value_depth);
    query_panel = area.take<T>(problem.depth * lanes);
    dout_panel = area.take<T>(problem.value_depth * lanes);
    base = area.take<T>(lanes);
    factor = area.take<T>(lanes);
    delta = area.take<T>(lanes);
    weights = area.take<T>(block * lanes);
    dscores = area.take<T>(block * lanes);
    mask = area.take<T>(std::max(block * lanes, mask_tile_size<T>(block)));
    cap_slope = area.take<T>(problem.softcap > 0 ? block * lanes : 0);
    kept = area.take<T>(problem.dropout_p > 0 ? block * lanes : 0);
    dquery = area.take<T>(problem.depth * lanes);
    dquery_rows = area.take<T>(lanes * problem.depth);
    dkey = area.take<T>(block * depth);
    dvalue = area.take<T>(block * value_depth);
    long_dkey = area.take<double>(call.long_sums ? block * depth : 0);
    long_dvalue = area.take<double>(call.long_sums ? block * value_depth : 0);
    bias_sums = area.take<double>(call.sums_bias() ? block : 0);
    keys = area.take<T>(call.tensors.key.template in_place<T>() ? 0 : block * depth);
    values = area.take<T>(call.tensors.value.template in_place<T>() ? 0 : block * value_depth);
    size = area.size();
  }
};

}  // namespace heedful
