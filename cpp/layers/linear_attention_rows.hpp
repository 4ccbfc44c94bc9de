// The rows of a call of linear attention in scratch memory, chunk by chunk.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/rows.hpp"
#include "arrays/work_area.hpp"
#include "layers/chunk_products.hpp"
#include "layers/feature_map.hpp"
#include "layers/linear_attention.hpp"

namespace heedful {

inline constexpr std::ptrdiff_t range_rows = 16 * chunk_rows;

// A sequence in ranges, one at least.
struct RowRanges {
  std::ptrdiff_t rows;

  std::ptrdiff_t count() const {
    return std::max<std::ptrdiff_t>((rows + range_rows - 1) / range_rows, 1);
  }
  std::ptrdiff_t begin(std::ptrdiff_t range) const { return range * range_rows; }
  std::ptrdiff_t end(std::ptrdiff_t range) const { return std::min(rows, begin(range + 1)); }
};

// Rows [first, first + count) of one head of keys, or of one of its query heads.
struct ChunkRows {
  std::ptrdiff_t item, kv_head, first, count;

  // The chunk of a line, which is an item and a head of keys, that begins at a row before `end`.
  static ChunkRows of(const LinearAttention& call, std::ptrdiff_t line, std::ptrdiff_t first,
                      std::ptrdiff_t end) {
    return {line / call.kv_heads, line % call.kv_heads, first, std::min(chunk_rows, end - first)};
  }
};

// Scratch for the rows of a chunk.
template <class T>
Matrix<T> take_rows(WorkArea& area, std::ptrdiff_t columns) {
  const std::ptrdiff_t stride = padded<T>(columns);
  return {area.take<T>(chunk_rows * stride), stride};
}

inline bool is_kept(const LinearAttention& call, const ChunkRows& rows, std::ptrdiff_t i) {
  return !call.kept || *call.kept.row(rows.item, 0, rows.first + i) != 0;
}

// φ(k) and v, zeros where a key is not kept.
template <class T>
void load_keys(const LinearAttention& call, const ChunkRows& rows, Matrix<T> key, Matrix<T> value) {
  copy_rows(call.key, rows.item, rows.kv_head, rows.first, rows.count, call.depth, key.data);
  copy_rows(call.value, rows.item, rows.kv_head, rows.first, rows.count, call.value_depth,
            value.data);
  apply_feature_map(rows.count, call.depth, key);
  for (std::ptrdiff_t i = 0; i < rows.count; ++i) {
    if (is_kept(call, rows, i)) continue;
    std::fill_n(key.row(i), key.stride, T{0});
    std::fill_n(value.row(i), value.stride, T{0});
  }
}

// φ(q)
template <class T>
void load_queries(const LinearAttention& call, const ChunkRows& rows, std::ptrdiff_t head,
                  Matrix<T> query) {
  copy_rows(call.query, rows.item, head, rows.first, rows.count, call.depth, query.data);
  apply_feature_map(rows.count, call.depth, query);
}

template <class T>
void write_rows(const TensorView& to, const ChunkRows& rows, std::ptrdiff_t head,
                std::ptrdiff_t columns, Matrix<T> from) {
  for (std::ptrdiff_t i = 0; i < rows.count; ++i) {
    write_row(from.row(i), to.row(rows.item, head, rows.first + i), to.type, to.column_stride,
              columns);
  }
}

}  // namespace heedful
