// Products over a tile where some keys are hidden from some queries and something is NaN or ∞: 0 · NaN is NaN, so what
// is hidden must be left out, not multiplied by zero. Slow, and rarely needed: only where `hides` and not all_finite.
//   scores [key][lane], −∞ where hidden
#pragma once

#include <cstddef>
#include <limits>

#include "attention/pack.hpp"
#include "simd/packet.hpp"

namespace heedful {

// sum[column][lane] += rows[key][column] · weights[key][lane]
template <class T>
void guarded_columns(const T* scores, const T* weights, Rows<T> rows, std::ptrdiff_t keys, int lanes,
                     std::ptrdiff_t columns, T* sum) {
  const auto minus_infinity = simd::broadcast(-std::numeric_limits<T>::infinity());
  for (std::ptrdiff_t key = 0; key < keys; ++key) {
    for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
      const auto weight = simd::load(weights + key * lanes + lane);
      const auto hidden = simd::equal(simd::load(scores + key * lanes + lane), minus_infinity);
      for (std::ptrdiff_t column = 0; column < columns; ++column) {
        T* const to = sum + column * lanes + lane;
        const auto before = simd::load(to);
        const auto after = simd::multiply_add(simd::broadcast(rows.data[key * rows.stride + column]), weight, before);
        simd::store(to, simd::select(hidden, before, after));
      }
    }
  }
}

// sum[key][column] += weights[key][lane] · rows[lane][column], for the first `count` lanes
template <class T>
void guarded_rows(const T* scores, const T* weights, Rows<T> rows, std::ptrdiff_t keys, int lanes, int count,
                  std::ptrdiff_t columns, T* sum, std::ptrdiff_t sum_stride) {
  for (std::ptrdiff_t key = 0; key < keys; ++key) {
    for (int lane = 0; lane < count; ++lane) {
      if (scores[key * lanes + lane] == -std::numeric_limits<T>::infinity()) continue;
      const T weight = weights[key * lanes + lane];
      for (std::ptrdiff_t column = 0; column < columns; ++column) {
        sum[key * sum_stride + column] += weight * rows.data[lane * rows.stride + column];
      }
    }
  }
}

}  // namespace heedful
