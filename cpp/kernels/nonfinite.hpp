// NaN and ∞ in hidden keys: when they must be guarded against, and the loops that do so.
//
// A hidden key has weight 0 and takes part in the product nevertheless, because 0 · finite is 0;
// but 0 · NaN and 0 · ∞ are NaN. So where a key of a tile is hidden, and a factor of the product is
// not finite, one of these loops replaces the product: it skips hidden keys. They are slow, and
// rarely needed. They add in the order of the product, so finite results have the same bits.
//
//   guarded_columns   out of prefill, and of overflow.hpp; dquery
//   guarded_rows      dkey, dvalue
//   guarded_weigh     out of decode
//   multiply_seen     out of prefill on pairs of bfloat16, in bfloat16_kernel.hpp: it needs the
//                     instructions of that file
//   add_visible_values  of forward/bfloat16/tile_products.hpp: NaN and ∞ are taken out of the tile
//   add_nonfinite     of backward/bfloat16/tile_sums.hpp and tile_keys.hpp, likewise
//   accumulate<guard> all gradients of additive scores, in backward/additive_gradients.cpp: there
//                     the guard is a selection within the loop over tanh
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "arrays/rows.hpp"
#include "kernels/weigh_kernel.hpp"
#include "simd/packet.hpp"

namespace heedful {

// Whether no element is NaN or ∞.
template <class T>
bool all_finite(Rows<T> rows, std::ptrdiff_t count, std::ptrdiff_t columns);
// The same for 16-bit elements; `exponent` is the mask of the exponent bits, all ones in NaN and ∞.
bool all_finite(Rows<std::uint16_t> rows, std::ptrdiff_t count, std::ptrdiff_t columns,
                std::uint16_t exponent);
// Whether no half of any word is NaN or ∞.
bool all_finite(const std::uint32_t* words, std::ptrdiff_t count);

// In the loops below: scores [key][lane], −∞ where hidden.

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

// Adds to the sums what weigh() adds to zeros.   scores (rows, weight_stride)
template <class T>
void guarded_weigh(const T* scores, const Weighing<T>& w) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  for (std::ptrdiff_t v = 0; v < w.vectors.count; ++v) {
    const Rows<T> values{w.values.data + w.vectors.offset(v), w.values.stride};
    guarded_rows(scores, w.weights, values, w.rows, w.weight_stride, w.keys, width,
                 w.sums + v * width, w.sum_stride);
  }
}

}  // namespace heedful
