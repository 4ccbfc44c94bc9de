// The keys or values of a task of few rows, as input of the kernels: in memory order, prefetched
// before their use, and as stored if the kernels widen them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arrays/prefetch.hpp"
#include "arrays/tensor_view.hpp"
#include "attention/scores/key_scales.hpp"
#include "attention/scores/tile_rows.hpp"
#include "simd/half.hpp"
#include "simd/int8.hpp"

namespace heedful {

// The rows of one tensor that a task reads, in memory.
struct RowSource {
  const TensorView& view;
  std::ptrdiff_t item, head, first;

  const char* row(std::ptrdiff_t key) const { return view.row(item, head, first + key); }
  Rows<std::uint16_t> halves(std::ptrdiff_t key) const {
    return {reinterpret_cast<const std::uint16_t*>(row(key)), view.row_stride / 2};
  }
  Rows<std::int8_t> bytes(std::ptrdiff_t key) const {
    return {reinterpret_cast<const std::int8_t*>(row(key)), view.row_stride};
  }
  LinePrefetch prefetch_from(std::ptrdiff_t key) const { return {row(key), view.row_stride}; }
  std::ptrdiff_t run(std::ptrdiff_t key, std::ptrdiff_t count) const {
    return view.run(first + key, count);
  }
};

// What is read after a range of keys: rows from `key` on, before `end`.
struct NextRows {
  RowSource source;
  std::ptrdiff_t key, end;
};

// Calls work(keys, next) for consecutive ranges of a tile: during the first one, rows of the same
// tensor are prefetched, during the last ones those that are read next: [next.begin, next.end) of
// `after`. `distance` is the number of rows between a row and those that are prefetched then.
template <class Work>
void for_ranges(const RowSource& source, KeyRange tile, const RowSource& after, KeyRange next,
                std::ptrdiff_t distance, const Work& work) {
  const std::ptrdiff_t middle = std::max(tile.begin, tile.end - distance);
  if (middle > tile.begin) {
    // with small pages whole ones ahead, so that pieces are not shorter than pages
    const std::ptrdiff_t page = source.view.pages ? source.view.pages->rows : 1;
    const std::ptrdiff_t ahead = page <= 32 ? (distance + page - 1) / page * page : distance;
    work(KeyRange{tile.begin, middle}, NextRows{source, tile.begin + ahead, tile.end});
  }
  const std::ptrdiff_t end = std::min(tile.end, middle + std::max<std::ptrdiff_t>(next.size(), 0));
  if (end > middle) work(KeyRange{middle, end}, NextRows{after, next.begin, next.end});
  if (tile.end > end) {  // nothing left to prefetch: rows that are in the cache
    work(KeyRange{end, tile.end}, NextRows{source, end, tile.end});
  }
}

// Calls work(keys, prefetch) for the pieces of a range whose rows are one stride apart, as are
// those that are prefetched: the range itself, unless it lies on pages.
template <class Work>
void for_pieces(const RowSource& source, KeyRange range, const NextRows& next, const Work& work) {
  if (!source.view.pages) return work(range, next.source.prefetch_from(next.key));
  for (KeyRange piece{range.begin, range.begin}; piece.end < range.end;) {
    piece = {piece.end, piece.end + source.run(piece.end, range.end - piece.end)};
    const std::ptrdiff_t key = next.key + piece.begin - range.begin;
    if (key >= next.end) {  // nothing left to prefetch
      work(piece, source.prefetch_from(piece.begin));
      continue;
    }
    piece.end = piece.begin + next.source.run(key, std::min(piece.size(), next.end - key));
    work(piece, next.source.prefetch_from(key));
  }
}

// Calls work(rows) with the rows of a piece of one tensor, as stored if the kernels widen them in
// registers: that reads a half or a quarter of the bytes and writes none.
template <class T, class Work>
void with_stored_rows(const RowSource& source, TileRows<T>& rows, KeyRange keys,
                      std::ptrdiff_t columns, const Work& work) {
  const TensorView& view = source.view;
  const auto stored = [&](auto element) {
    using Stored = decltype(element);
    work(Rows<Stored>{reinterpret_cast<const Stored*>(source.row(keys.begin)),
                      view.row_stride / static_cast<std::ptrdiff_t>(sizeof(Stored))});
  };
  if constexpr (sizeof(T) == sizeof(float)) {
    const bool in_place = view.column_stride == 2 && view.row_stride % 2 == 0;
    if (in_place && columns >= simd::lanes<float>) {
      if (view.type == ElementType::bfloat16) return stored(simd::Bfloat16{});
      if constexpr (simd::widens_float16) {
        if (view.type == ElementType::float16) return stored(simd::Float16{});
      }
    }
    if (reads_int8<T>(view, columns)) return stored(simd::Int8{});
  }
  if (view.pages && view.template in_place<T>() && columns >= simd::lanes<T>) return stored(T{});
  work(rows.from(keys.begin));
}

}  // namespace heedful
