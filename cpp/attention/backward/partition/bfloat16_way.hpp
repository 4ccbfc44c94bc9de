// How the products of the backward pass are computed: on tiles of bfloat16 (tile_gradients.hpp) if
// query, key, value and dout are of that type, else in the type computed in.
#pragma once

#include "attention/backward/tensors.hpp"
#include "attention/problem/problem.hpp"
#include "simd/bfloat16_ways.hpp"

namespace heedful {

inline simd::Bfloat16Way way_of(const Problem& problem, const BackwardTensors& tensors) {
  constexpr ElementType bfloat16 = ElementType::bfloat16;
  // A tile multiplies 32 elements of the depth at once: of fewer than 16 most would be padding, and
  // rounding takes longer than their products in float.
  constexpr std::ptrdiff_t min_depth = 16;
  const simd::Bfloat16Way way = problem.bfloat16.products;
  const bool tiles = way == simd::Bfloat16Way::tiles || way == simd::Bfloat16Way::tiles_model;
  // dweights are rare, and come with probabilities (Lq, Lk) that are read and written in full;
  // penalties are small beside the loss, and need scores that are not rounded
  const bool applies = tiles && problem.may_round_weights() && problem.depth >= min_depth &&
                       tensors.query.type == bfloat16 && tensors.key.type == bfloat16 &&
                       tensors.value.type == bfloat16 && tensors.dout.type == bfloat16 &&
                       !tensors.dweights && !tensors.penalty;
  return applies ? way : simd::Bfloat16Way::widened;
}

}  // namespace heedful
