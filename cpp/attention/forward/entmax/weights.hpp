// The weights of the three sums over values that attention with entmax may need:
//   probability                                      out
//   slope                                            mean = Σ slope · value / Σ slope
//   d probability / dα = (probability − slope / U) / (α − 1)² + (entropy − slope / U · H) / (α − 1)
//                                                    d out / dα
// with entropy = −probability ln probability, U = Σ slope and H = Σ entropy (Correia, Niculae and
// Martins, "Adaptively Sparse Transformers", 2019).
#pragma once

#include <cstddef>
#include <cstdint>

#include "attention/forward/entmax/thresholds.hpp"
#include "attention/problem/panel.hpp"

namespace heedful {

// Keys whose weights are all 0 are skipped in groups.
inline constexpr std::ptrdiff_t group_keys = 32;

// Of a key tile, each (keys, lanes); the last two are null if they are not wanted.
template <class T>
struct TileWeights {
  T* probabilities;  // scores before
  T* slopes;         // divided by those of the thresholds: their sum is about 1
  T* derivatives;
};

// Replaces scores by probabilities and writes the other weights. slope_sums (lanes): Σ slope is
// added if slopes are wanted. derivatives need sum_slopes() before. Returns a bit for every group
// of keys that has a weight other than 0; there are at most 64 groups.
template <class T>
std::uint64_t write_weights(double alpha, const Thresholds<T>& thresholds, int lanes,
                            std::ptrdiff_t keys, const TileWeights<T>& weights, T* slope_sums);

}  // namespace heedful
