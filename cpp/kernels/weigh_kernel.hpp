// Weighted sums of value rows for few rows, with the lanes over the depth:
//   sums[row][vector] += Σ_key weights[row][key] · values[key][vector]
// added key by key: pieces of a range of keys, one after another, give the bits of the whole range.
// Every value is read once for up to four rows, whole rows at a time where the registers suffice,
// so that memory is read sequentially. Values of 16 or 8 bits (Stored) are widened in registers.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/prefetch.hpp"
#include "arrays/rows.hpp"
#include "kernels/row_vectors.hpp"
#include "simd/half.hpp"
#include "simd/int8.hpp"
#include "simd/packet.hpp"

namespace heedful {

// Values one stride apart, such as those of a page, and what is prefetched meanwhile.
template <class Stored>
struct ValueRun {
  const Stored* values;
  std::ptrdiff_t keys;
  LinePrefetch prefetch;
};

// weights (rows, weight_stride)   sums (rows, sum_stride), vectors as in RowVectors
template <class T, class Stored = T>
struct Weighing {
  std::ptrdiff_t rows, keys;
  const T* weights;
  std::ptrdiff_t weight_stride;
  Rows<Stored> values;
  RowVectors<T> vectors;
  T* sums;
  std::ptrdiff_t sum_stride;
  LinePrefetch prefetch;
  // runs of values, at the same stride, that follow these: as more keys, so that the sums stay in
  // registers
  const ValueRun<Stored>* further = nullptr;
  std::ptrdiff_t num_further = 0;
};

// `Several`: there are further runs. A single one is shorter to set up, which takes a noticeable
// part of a piece.
template <class T, class Stored, int WeightRows, int Vectors, bool Several>
inline void weigh_block(const Weighing<T, Stored>& w, std::ptrdiff_t row, std::ptrdiff_t vector) {
  using P = simd::Packet<T>;
  constexpr int width = simd::lanes<T>;
  std::ptrdiff_t offsets[Vectors];
#pragma GCC unroll 16
  for (int v = 0; v < Vectors; ++v) offsets[v] = w.vectors.offset(vector + v);
  P sums[WeightRows][Vectors];
#pragma GCC unroll 16
  for (int r = 0; r < WeightRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      sums[r][v] = simd::load(w.sums + (row + r) * w.sum_stride + (vector + v) * width);
    }
  }
  const T* weights = w.weights + row * w.weight_stride;
  ValueRun<Stored> run{w.values.data, w.keys, w.prefetch};
  for (std::ptrdiff_t next = 0;; run = w.further[next++]) {
    const Stored* values = run.values;
    for (std::ptrdiff_t key = 0; key < run.keys; ++key, values += w.values.stride) {
      P weight[WeightRows];
#pragma GCC unroll 16
      for (int r = 0; r < WeightRows; ++r) {
        weight[r] = simd::broadcast(weights[r * w.weight_stride + key]);
      }
#pragma GCC unroll 16
      for (int v = 0; v < Vectors; ++v) {
        run.prefetch.template line<Stored>(key, (vector + v) * width);
        const P value = simd::load(values + offsets[v]);
#pragma GCC unroll 16
        for (int r = 0; r < WeightRows; ++r) {
          sums[r][v] = simd::multiply_add(value, weight[r], sums[r][v]);
        }
      }
    }
    if (!Several || next == w.num_further) break;
    weights += run.keys;
  }
#pragma GCC unroll 16
  for (int r = 0; r < WeightRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < Vectors; ++v) {
      simd::store(w.sums + (row + r) * w.sum_stride + (vector + v) * width, sums[r][v]);
    }
  }
}

// Number of vectors whose sums are in registers together, for up to four rows: half of the
// registers are accumulators; the other half holds weights and values.
inline constexpr int weigh_block_vectors(std::ptrdiff_t rows) {
  return static_cast<int>(std::clamp<std::ptrdiff_t>(simd::registers / 2 / rows, 1, 8));
}

// Whether values are read more than once.
template <class T>
bool weigh_rereads(std::ptrdiff_t rows, const RowVectors<T>& vectors) {
  return rows > 4 || vectors.count > weigh_block_vectors(rows);
}

template <class T, class Stored, bool Several, int WeightRows>
inline void weigh_vectors(const Weighing<T, Stored>& w, std::ptrdiff_t row) {
  constexpr int max_block = weigh_block_vectors(WeightRows);
  std::ptrdiff_t vector = 0;
  for (; vector + max_block <= w.vectors.count; vector += max_block) {
    weigh_block<T, Stored, WeightRows, max_block, Several>(w, row, vector);
  }
  if constexpr (max_block > 4) {
    for (; vector + 4 <= w.vectors.count; vector += 4)
      weigh_block<T, Stored, WeightRows, 4, Several>(w, row, vector);
  }
  if constexpr (max_block > 2) {
    for (; vector + 2 <= w.vectors.count; vector += 2)
      weigh_block<T, Stored, WeightRows, 2, Several>(w, row, vector);
  }
  for (; vector < w.vectors.count; ++vector)
    weigh_block<T, Stored, WeightRows, 1, Several>(w, row, vector);
}

template <class T, class Stored, bool Several>
void weigh_rows(const Weighing<T, Stored>& w) {
  std::ptrdiff_t row = 0;
  for (; row + 4 <= w.rows; row += 4) weigh_vectors<T, Stored, Several, 4>(w, row);
  switch (w.rows - row) {
    case 3:
      return weigh_vectors<T, Stored, Several, 3>(w, row);
    case 2:
      return weigh_vectors<T, Stored, Several, 2>(w, row);
    case 1:
      return weigh_vectors<T, Stored, Several, 1>(w, row);
  }
}

template <class T, class Stored>
void weigh(const Weighing<T, Stored>& w) {
  if (w.num_further > 0) return weigh_rows<T, Stored, true>(w);
  weigh_rows<T, Stored, false>(w);
}

}  // namespace heedful
