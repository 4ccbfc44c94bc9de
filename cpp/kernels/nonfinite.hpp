// Products over a tile where some keys are hidden from some queries and something is NaN or ∞: 0 ·
// NaN is NaN, so what is hidden must be left out, not multiplied by zero. Slow, and rarely needed:
// only where something is hidden and something is not finite. The order of the sums is the
// micro-kernel's, so finite results have the same bits.
//   scores [key][lane], −∞ where hidden
#pragma once

#include <cstddef>
#include <limits>

#include "arrays/rows.hpp"
#include "simd/packet.hpp"

namespace heedful {

// sum[column][lane] (+)= Σ_key rows[key][column] · weights[key][lane]
template <class T>
void guarded_columns(const T* scores, const T* weights, Rows<T> rows, std::ptrdiff_t keys,
                     int lanes, std::ptrdiff_t columns, T* sum, bool accumulate) {
  const auto minus_infinity = simd::broadcast(-std::numeric_limits<T>::infinity());
  for (std::ptrdiff_t column = 0; column < columns; ++column) {
    for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
      auto total = simd::broadcast(T{0});
      for (std::ptrdiff_t key = 0; key < keys; ++key) {
        const auto weight = simd::load(weights + key * lanes + lane);
        const auto hidden = simd::equal(simd::load(scores + key * lanes + lane), minus_infinity);
        const auto value = simd::broadcast(rows.data[key * rows.stride + column]);
        total = simd::select(hidden, total, simd::multiply_add(value, weight, total));
      }
      T* const to = sum + column * lanes + lane;
      simd::store(to, accumulate ? simd::add(simd::load(to), total) : total);
    }
  }
}

// sum[key][column] += Σ_lane weights[key][lane] · rows[lane][column], over the first `count` lanes;
// the columns of rows and sum fill whole vectors.
template <class T>
void guarded_rows(const T* scores, const T* weights, Rows<T> rows, std::ptrdiff_t keys,
                  std::ptrdiff_t lanes, std::ptrdiff_t count, std::ptrdiff_t columns, T* sum,
                  std::ptrdiff_t sum_stride) {
  for (std::ptrdiff_t key = 0; key < keys; ++key) {
    for (std::ptrdiff_t column = 0; column < columns; column += simd::lanes<T>) {
      auto total = simd::broadcast(T{0});
      for (std::ptrdiff_t lane = 0; lane < count; ++lane) {
        if (scores[key * lanes + lane] == -std::numeric_limits<T>::infinity()) continue;
        const auto row = simd::load(rows.data + lane * rows.stride + column);
        total = simd::multiply_add(simd::broadcast(weights[key * lanes + lane]), row, total);
      }
      T* const to = sum + key * sum_stride + column;
      simd::store(to, simd::add(simd::load(to), total));
    }
  }
}

}  // namespace heedful
