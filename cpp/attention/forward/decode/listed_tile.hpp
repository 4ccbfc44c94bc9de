// Rows of int8 on pages as a list of their places. Small pages of bytes are so few cache lines that
// a call of a kernel for each would take a fifth of the time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arrays/prefetch.hpp"
#include "attention/forward/decode/row_source.hpp"

namespace heedful {

// How many rows ahead are prefetched, and how many are read together where each is read more than
// once. Integers have the same sums however they are cut, so that neither need fit the ranges of a
// TileReader.
inline constexpr std::ptrdiff_t listed_ahead = 64, listed_piece = 64;

// The places of rows [key, key + count).
inline void list_rows(const RowSource& source, std::ptrdiff_t key, std::ptrdiff_t count,
                      const std::int8_t** places) {
  for (const std::ptrdiff_t end = key + count; key < end;) {
    const Rows<std::int8_t> page = source.bytes(key);
    const std::ptrdiff_t rows = source.run(key, end - key);
    for (std::ptrdiff_t row = 0; row < rows; ++row) *places++ = page[row];
    key += rows;
  }
}

// The places of a tile's rows, and of those to prefetch after them: where there are fewer, the last
// one's.
inline void list_tile(const RowSource& source, KeyRange tile, const NextRows& next,
                      const std::int8_t** places) {
  const std::int8_t** const ahead = places + tile.size();
  const std::ptrdiff_t count = std::clamp<std::ptrdiff_t>(next.end - next.key, 0, listed_ahead);
  list_rows(source, tile.begin, tile.size(), places);
  list_rows(next.source, next.key, count, ahead);
  std::fill(ahead + count, ahead + listed_ahead + prefetched_block, ahead[-1]);
}

}  // namespace heedful
