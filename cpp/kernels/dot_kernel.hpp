// Scores of few rows against many keys, with the lanes over the depth:
//   scores[row][key] = queries[row] · keys[key]
// Keys are read in memory order; those of 16 or 8 bits (Stored) are widened in registers. Sums over
// lanes are computed for as many (row, key) pairs together as a vector has lanes: three operations
// per pair, a third of what separate sums take.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "arrays/prefetch.hpp"
#include "arrays/rows.hpp"
#include "kernels/row_vectors.hpp"
#include "simd/half.hpp"
#include "simd/int8.hpp"
#include "simd/packet.hpp"

namespace heedful {

// The queries in the layout of dot_rows: (rows, count · width) of RowVectors, zeros where the last
// vector repeats lanes; padded with rows of zeros to dot_rows_of(rows).
template <class T>
struct DotQueries {
  const T* data;
  std::ptrdiff_t rows;
  RowVectors<T> vectors;

  std::ptrdiff_t stride() const { return vectors.count * simd::lanes<T>; }
};

// Number of rows that are computed together: 1, 2 or 4.
inline constexpr std::ptrdiff_t dot_rows_of(std::ptrdiff_t rows) {
  return rows >= 3 ? 4 : std::max<std::ptrdiff_t>(rows, 1);
}
inline constexpr std::ptrdiff_t padded_dot_rows(std::ptrdiff_t rows) {
  return rows / 4 * 4 + (rows % 4 ? dot_rows_of(rows % 4) : 0);
}

// Maximum number of rows that are computed together: keys are read once for as many.
template <class T>
inline constexpr int max_dot_rows = std::min(4, simd::lanes<T>);

// Number of keys whose sums over the lanes are computed together: one vector holds them,
// [row][key].
template <class T, int QueryRows>
inline constexpr int dot_group = simd::lanes<T> / QueryRows;

// Number of keys whose products are in registers together.
template <class T, int QueryRows>
inline constexpr int dot_block_keys =
    std::min(dot_group<T, QueryRows>, static_cast<int>(prefetched_block));

// Lanes are added to those whose index differs in the bit 2, then 1, then 8, then 4: the same order
// for any number of rows, so that a row has the same bits alone and among others.
inline constexpr int lane_bits[] = {2, 1, 8, 4};

// The sums of a block, each in its lane of the group's vector, lane = row · group + key: summed
// over the first `Steps` of lane_bits, with the sums of the block in the lanes that those bits
// select.
template <class T, int QueryRows, int Keys, int Steps = 4, int Lane = 0>
inline simd::Packet<T> sum_block(const simd::Packet<T> (&sums)[Keys][QueryRows]) {
  constexpr int group = dot_group<T, QueryRows>;
  if constexpr (Steps == 0) {
    return sums[Lane % group][Lane / group];
  } else {
    constexpr int bit = lane_bits[Steps - 1];
    constexpr bool of_keys = bit < Keys, of_rows = bit >= group && bit < group * QueryRows;
    const auto low = sum_block<T, QueryRows, Keys, Steps - 1, Lane>(sums);
    if constexpr (of_keys || of_rows) {
      const auto high = sum_block<T, QueryRows, Keys, Steps - 1, Lane + bit>(sums);
      return simd::add_halves<T, bit>(low, high);
    } else {
      return low;
    }
  }
}

// The products of QueryRows rows and a block of keys, each summed until as many partial sums are
// left as a group has blocks.
template <class T, class Stored, int QueryRows, int Keys>
struct DotBlock {
  template <class Prefetch>
  static simd::Packet<T> run(const T* query_rows, std::ptrdiff_t query_stride,
                             const Stored* const* keys, const Prefetch& prefetch,
                             std::ptrdiff_t first_key, const RowVectors<T>& vectors,
                             const simd::Packet<T>& last_mask) {
    using P = simd::Packet<T>;
    constexpr int width = simd::lanes<T>;
    P sums[Keys][QueryRows];
#pragma GCC unroll 16
    for (int key = 0; key < Keys; ++key) {
#pragma GCC unroll 16
      for (int row = 0; row < QueryRows; ++row) sums[key][row] = simd::broadcast(T{0});
    }
    const std::ptrdiff_t last = vectors.count - 1;
    for (std::ptrdiff_t v = 0; v <= last; ++v) {
      P values[Keys];
#pragma GCC unroll 16
      for (int key = 0; key < Keys; ++key)
        prefetch.template line<Stored>(first_key + key, v * width);
      if (v < last) {
#pragma GCC unroll 16
        for (int key = 0; key < Keys; ++key) values[key] = simd::load(keys[key] + v * width);
      } else {
#pragma GCC unroll 16
        for (int key = 0; key < Keys; ++key) {
          // masked, not only multiplied by zero: 0 · ∞ would be NaN
          values[key] = simd::both(simd::load(keys[key] + vectors.last), last_mask);
        }
      }
#pragma GCC unroll 16
      for (int row = 0; row < QueryRows; ++row) {
        const P query = simd::load(query_rows + row * query_stride + v * width);
#pragma GCC unroll 16
        for (int key = 0; key < Keys; ++key) {
          sums[key][row] = simd::multiply_add(query, values[key], sums[key][row]);
        }
      }
    }
    return sum_block<T, QueryRows, Keys>(sums);
  }
};

template <class T, class Stored, int QueryRows, class Keys, class Prefetch>
inline void dot_keys(const DotQueries<T>& queries, std::ptrdiff_t first_row, const Keys& keys,
                     std::ptrdiff_t count, const Prefetch& prefetch,
                     const simd::Packet<T>& last_mask, T* scores, std::ptrdiff_t score_stride) {
  constexpr int group = dot_group<T, QueryRows>, block = dot_block_keys<T, QueryRows>;
  const T* const query_rows = queries.data + first_row * queries.stride();
  const std::ptrdiff_t rows = std::min<std::ptrdiff_t>(QueryRows, queries.rows - first_row);
  for (std::ptrdiff_t begin = 0; begin < count; begin += group) {
    simd::Packet<T> blocks[group / block];
#pragma GCC unroll 4
    for (int b = 0; b < group / block; ++b) {
      blocks[b] = simd::broadcast(T{0});
      if (begin + b * block >= count) continue;
      const Stored* from[block];
#pragma GCC unroll 4
      for (int key = 0; key < block; ++key) {
        // past the last key: that key again; its sum is discarded
        from[key] = keys[std::min(begin + b * block + key, count - 1)];
      }
      blocks[b] =
          DotBlock<T, Stored, QueryRows, block>::run(query_rows, queries.stride(), from, prefetch,
                                                     begin + b * block, queries.vectors, last_mask);
    }
    alignas(64) T sums[simd::lanes<T>];
    simd::store(sums, simd::sum_lanes<T, block, group / block>(blocks));
    const std::ptrdiff_t here = std::min<std::ptrdiff_t>(group, count - begin);
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      T* const to = scores + row * score_stride + begin;
      if (here == group) {
        std::memcpy(to, sums + row * group, group * sizeof(T));
      } else {
        std::copy_n(sums + row * group, here, to);
      }
    }
  }
}

// `keys` are Rows or a RowList.   scores (rows, score_stride); elements past the last key are not
// written.
template <class T, template <class> class Keys, class Stored, class Prefetch>
void dot_rows(const DotQueries<T>& queries, const Keys<Stored>& keys, std::ptrdiff_t count,
              const Prefetch& prefetch, T* scores, std::ptrdiff_t score_stride) {
  alignas(64) T mask[simd::lanes<T>];
  std::memset(mask, 0xFF, sizeof mask);
  std::memset(mask, 0, static_cast<std::size_t>(queries.vectors.repeated()) * sizeof(T));
  const simd::Packet<T> last_mask = simd::load(mask);
  constexpr int max_rows = max_dot_rows<T>;
  for (std::ptrdiff_t row = 0; row < queries.rows; row += max_rows) {
    T* const to = scores + row * score_stride;
    const std::ptrdiff_t here = std::min<std::ptrdiff_t>(dot_rows_of(queries.rows - row), max_rows);
    if (here == 1) {
      dot_keys<T, Stored, 1>(queries, row, keys, count, prefetch, last_mask, to, score_stride);
    } else if (here == 2) {
      dot_keys<T, Stored, 2>(queries, row, keys, count, prefetch, last_mask, to, score_stride);
    } else if constexpr (max_rows == 4) {
      dot_keys<T, Stored, 4>(queries, row, keys, count, prefetch, last_mask, to, score_stride);
    }
  }
}

}  // namespace heedful
