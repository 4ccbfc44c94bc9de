// Scores of few rows against many keys, with the lanes over the depth:
//   scores[row][key] = queries[row] · keys[key]
// Keys are read in the order in which they lie. Sums over lanes are taken for as many (row, key)
// pairs together as a vector has lanes: three operations a pair, a third of one sum after the
// other.
#pragma once

#include <algorithm>
#include <cstddef>

#include "attention/pack.hpp"
#include "attention/row_vectors.hpp"
#include "simd/packet.hpp"

namespace heedful {

// The queries as dot_rows wants them: (rows, count · width) of RowVectors, zeros where the last
// vector repeats lanes; as many rows as dot_rows_of says, zeros behind the last.
template <class T>
struct DotQueries {
  const T* data;
  std::ptrdiff_t rows;
  RowVectors<T> vectors;

  std::ptrdiff_t stride() const { return vectors.count * simd::lanes<T>; }
};

// Rows that are computed together: 1, 2 or 4.
inline constexpr std::ptrdiff_t dot_rows_of(std::ptrdiff_t rows) {
  return rows >= 3 ? 4 : std::max<std::ptrdiff_t>(rows, 1);
}

// Products of QueryRows rows and Keys keys, not yet summed over the lanes:
// partial[row · partial_stride + key].
template <class T, int QueryRows, int Keys>
inline void dot_block(const T* query_rows, std::ptrdiff_t query_stride, const T* keys,
                      std::ptrdiff_t key_stride, const Ahead& ahead, std::ptrdiff_t first_key,
                      const RowVectors<T>& vectors, const simd::Packet<T>& counted, T* partial,
                      std::ptrdiff_t partial_stride) {
  using P = simd::Packet<T>;
  constexpr int width = simd::lanes<T>;
  P sums[QueryRows][Keys];
#pragma GCC unroll 16
  for (int row = 0; row < QueryRows; ++row) {
#pragma GCC unroll 16
    for (int key = 0; key < Keys; ++key) sums[row][key] = simd::broadcast(T{0});
  }
  const std::ptrdiff_t last = vectors.count - 1;
  for (std::ptrdiff_t v = 0; v <= last; ++v) {
    P values[Keys];
#pragma GCC unroll 16
    for (int key = 0; key < Keys; ++key) ahead.fetch<T>(first_key + key, v * width);
    if (v < last) {
#pragma GCC unroll 16
      for (int key = 0; key < Keys; ++key) {
        values[key] = simd::load(keys + key * key_stride + v * width);
      }
    } else {
#pragma GCC unroll 16
      for (int key = 0; key < Keys; ++key) {
        // blanked, not only multiplied by zero: 0 · ∞ would be NaN
        values[key] = simd::both(simd::load(keys + key * key_stride + vectors.last), counted);
      }
    }
#pragma GCC unroll 16
    for (int row = 0; row < QueryRows; ++row) {
      const P query = simd::load(query_rows + row * query_stride + v * width);
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
      simd::store(partial + (row * partial_stride + key) * width, sums[row][key]);
    }
  }
}

template <class T, int QueryRows>
inline void dot_keys(const DotQueries<T>& queries, std::ptrdiff_t first_row, Rows<T> keys,
                     std::ptrdiff_t count, const Ahead& ahead, const simd::Packet<T>& counted,
                     T* scores, std::ptrdiff_t score_stride) {
  constexpr int width = simd::lanes<T>;
  // whose sums are taken together, and whose products are in registers together
  constexpr std::ptrdiff_t group = width > QueryRows ? width / QueryRows : 1;
  constexpr int block = group < 4 || QueryRows == 4 ? std::min<int>(group, 2) : 4;
  const T* const query_rows = queries.data + first_row * queries.stride();
  const std::ptrdiff_t rows = std::min<std::ptrdiff_t>(QueryRows, queries.rows - first_row);
  alignas(64) T partial[QueryRows * group * width] = {};
  alignas(64) T sums[QueryRows * group];
  for (std::ptrdiff_t begin = 0; begin < count; begin += group) {
    const std::ptrdiff_t here = std::min(group, count - begin);
    const T* const from = keys.data + begin * keys.stride;
    std::ptrdiff_t key = 0;
    for (; key + block <= here; key += block) {
      dot_block<T, QueryRows, block>(query_rows, queries.stride(), from + key * keys.stride,
                                     keys.stride, ahead, begin + key, queries.vectors, counted,
                                     partial + key * width, group);
    }
    for (; key < here; ++key) {
      dot_block<T, QueryRows, 1>(query_rows, queries.stride(), from + key * keys.stride,
                                 keys.stride, ahead, begin + key, queries.vectors, counted,
                                 partial + key * width, group);
    }
#pragma GCC unroll 4
    for (int first = 0; first < QueryRows * group; first += width) {
      simd::store(sums + first, simd::sum_each<T>(partial + first * width));
    }
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      std::copy_n(sums + row * group, here, scores + row * score_stride + begin);
    }
  }
}

// scores (rows, score_stride); what lies behind the last key stays as it is.
template <class T>
void dot_rows(const DotQueries<T>& queries, Rows<T> keys, std::ptrdiff_t count, const Ahead& ahead,
              T* scores, std::ptrdiff_t score_stride) {
  alignas(64) T kept[simd::lanes<T>];
  std::memset(kept, 0xFF, sizeof kept);
  std::memset(kept, 0, static_cast<std::size_t>(queries.vectors.repeated()) * sizeof(T));
  const simd::Packet<T> counted = simd::load(kept);
  for (std::ptrdiff_t row = 0; row < queries.rows; row += 4) {
    T* const to = scores + row * score_stride;
    switch (dot_rows_of(queries.rows - row)) {
      case 1:
        dot_keys<T, 1>(queries, row, keys, count, ahead, counted, to, score_stride);
        break;
      case 2:
        dot_keys<T, 2>(queries, row, keys, count, ahead, counted, to, score_stride);
        break;
      default:
        dot_keys<T, 4>(queries, row, keys, count, ahead, counted, to, score_stride);
    }
  }
}

}  // namespace heedful
