// Scores of few rows against many keys, with the lanes over the depth:
//   scores[row][key] = queries[row] · keys[key]
#pragma once

#include <algorithm>
#include <cstddef>

#include "attention/pack.hpp"
#include "simd/packet.hpp"

namespace heedful {

template <class T, int QueryRows, int Keys>
inline void dot_block(const T* queries, std::ptrdiff_t depth, const T* keys,
                      std::ptrdiff_t key_stride, T* scores, std::ptrdiff_t score_stride) {
  using P = simd::Packet<T>;
  P sums[QueryRows][Keys];
#pragma GCC unroll 16
  for (int row = 0; row < QueryRows; ++row) {
#pragma GCC unroll 16
    for (int key = 0; key < Keys; ++key) sums[row][key] = simd::broadcast(T{0});
  }
  for (std::ptrdiff_t d = 0; d < depth; d += simd::lanes<T>) {
    P values[Keys];
#pragma GCC unroll 16
    for (int key = 0; key < Keys; ++key) values[key] = simd::load(keys + key * key_stride + d);
#pragma GCC unroll 16
    for (int row = 0; row < QueryRows; ++row) {
      const P query = simd::load(queries + row * depth + d);
#pragma GCC unroll 16
      for (int key = 0; key < Keys; ++key) {
        sums[row][key] = simd::multiply_add(query, values[key], sums[row][key]);
      }
    }
  }
#pragma GCC unroll 16
  for (int row = 0; row < QueryRows; ++row) {
#pragma GCC unroll 16
    for (int key = 0; key < Keys; ++key) {
      scores[row * score_stride + key] = simd::sum(sums[row][key]);
    }
  }
}

template <class T, int QueryRows>
inline void dot_keys(const T* queries, std::ptrdiff_t depth, Rows<T> keys, std::ptrdiff_t count,
                     T* scores, std::ptrdiff_t score_stride) {
  std::ptrdiff_t key = 0;
  for (; key + 4 <= count; key += 4) {
    dot_block<T, QueryRows, 4>(queries, depth, keys.data + key * keys.stride, keys.stride,
                               scores + key, score_stride);
  }
  for (; key < count; ++key) {
    dot_block<T, QueryRows, 1>(queries, depth, keys.data + key * keys.stride, keys.stride,
                               scores + key, score_stride);
  }
}

// queries (rows, depth); depth is a multiple of the vector length, and so is what may be read of
// each key.
template <class T>
void dot_rows(const T* queries, std::ptrdiff_t rows, std::ptrdiff_t depth, Rows<T> keys,
              std::ptrdiff_t count, T* scores, std::ptrdiff_t score_stride) {
  // 4 keys each leave registers for the loads
  constexpr std::ptrdiff_t most = simd::registers >= 32 ? 4 : 2;
  for (std::ptrdiff_t row = 0; row < rows; row += most) {
    const T* const from = queries + row * depth;
    T* const to = scores + row * score_stride;
    switch (std::min(most, rows - row)) {
      case 1:
        dot_keys<T, 1>(from, depth, keys, count, to, score_stride);
        break;
      case 2:
        dot_keys<T, 2>(from, depth, keys, count, to, score_stride);
        break;
      case 3:
        dot_keys<T, most == 4 ? 3 : 1>(from, depth, keys, count, to, score_stride);
        break;
      case 4:
        dot_keys<T, most == 4 ? 4 : 1>(from, depth, keys, count, to, score_stride);
        break;
    }
  }
}

}  // namespace heedful
