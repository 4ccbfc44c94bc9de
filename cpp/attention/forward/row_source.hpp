// The keys or values of a task of few rows, as input of the kernels: in memory order, prefetched
// before their use, and as stored if the kernels widen them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arrays/prefetch.hpp"
#include "arrays/tensor_view.hpp"
#include "attention/scores/tile_rows.hpp"
#include "simd/half.hpp"

namespace heedful {

// The rows of one tensor that a task reads, in memory.
struct RowSource {
  const TensorView& view;
  std::ptrdiff_t item, head, first;

  const char* row(std::ptrdiff_t key) const { return view.row(item, head, first + key); }
  Rows<std::uint16_t> halves(std::ptrdiff_t key) const {
    return {reinterpret_cast<const std::uint16_t*>(row(key)), view.row_stride / 2};
  }
  LinePrefetch prefetch_from(std::ptrdiff_t key) const { return {row(key), view.row_stride}; }
};

// Calls work(keys, prefetch) for consecutive ranges of a tile: during the first one, rows of the
// same tensor are prefetched, during the last ones those that are read next: [next.begin, next.end)
// of `after`.
template <class Work>
void run_with_prefetch(const RowSource& source, KeyRange tile, const RowSource& after,
                       KeyRange next, std::ptrdiff_t distance, const Work& work) {
  const std::ptrdiff_t middle = std::max(tile.begin, tile.end - distance);
  if (middle > tile.begin) {
    work(KeyRange{tile.begin, middle}, source.prefetch_from(tile.begin + distance));
  }
  const std::ptrdiff_t end = std::min(tile.end, middle + std::max<std::ptrdiff_t>(next.size(), 0));
  if (end > middle) work(KeyRange{middle, end}, after.prefetch_from(next.begin));
  if (tile.end > end)
    work(KeyRange{end, tile.end}, source.prefetch_from(end));  // nothing left to prefetch
}

// Calls work(rows) with rows [keys.begin, keys.end) of one tensor, as stored if the kernels widen
// them in registers: that reads half the bytes and writes none.
template <class T, class Work>
void with_stored_rows(const RowSource& source, TileRows<T>& rows, KeyRange keys,
                      std::ptrdiff_t columns, const Work& work) {
  const TensorView& view = source.view;
  if constexpr (sizeof(T) == sizeof(float)) {
    const auto stored = [&](auto element) {
      using Stored = decltype(element);
      work(Rows<Stored>{reinterpret_cast<const Stored*>(source.row(keys.begin)),
                        view.row_stride / static_cast<std::ptrdiff_t>(sizeof(Stored))});
    };
    const bool in_place = view.column_stride == 2 && view.row_stride % 2 == 0 && !view.pages;
    if (in_place && columns >= simd::lanes<float>) {
      if (view.type == ElementType::bfloat16) return stored(simd::Bfloat16{});
      if constexpr (simd::widens_float16) {
        if (view.type == ElementType::float16) return stored(simd::Float16{});
      }
    }
  }
  work(rows.from(keys.begin));
}

}  // namespace heedful
