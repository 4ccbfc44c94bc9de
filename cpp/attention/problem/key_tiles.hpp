// How a range of keys is split into key tiles.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/even_ranges.hpp"
#include "arrays/small_buffer.hpp"
#include "attention/problem/block_rows.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

// Keys per tile, so that scores, keys and values stay in L2: 256 for usual depths, fewer for large
// ones. 64 to 512 were within 3 %.
inline std::ptrdiff_t tile_keys(const Problem& problem) {
  const std::ptrdiff_t depths = std::max<std::ptrdiff_t>(problem.depth + problem.value_depth, 1);
  return std::clamp<std::ptrdiff_t>(131072 / depths, 32, 256);
}

// Each run of keys whose blocks some row sees, in even tiles; up to one and a half tiles are not
// split, since the set-up of a short last tile would not pay off.
class KeyTiles {
 public:
  KeyTiles(KeyRange keys, std::ptrdiff_t tile, const BlockRows& rows = {})
      : tiles_(count(keys, tile, rows)) {
    rows.for_runs(keys, [&](KeyRange run) {
      const EvenRanges even{run.size(), count(run, tile)};
      if (even.count == 1) tiles_[count_++] = run;
      for (std::ptrdiff_t i = 0; even.count > 1 && i < even.count; ++i) {
        tiles_[count_++] = {run.begin + even.begin(i), run.begin + even.begin(i + 1)};
      }
    });
  }
  // The maximum number of keys of a tile.
  static std::ptrdiff_t max_keys(std::ptrdiff_t tile) { return tile + tile / 2; }

  std::ptrdiff_t count() const { return count_; }
  KeyRange operator[](std::ptrdiff_t i) const { return tiles_[i]; }

 private:
  static std::ptrdiff_t count(KeyRange run, std::ptrdiff_t tile) {
    return run.size() > max_keys(tile) ? (run.size() + tile - 1) / tile : 1;
  }
  static std::ptrdiff_t count(KeyRange keys, std::ptrdiff_t tile, const BlockRows& rows) {
    std::ptrdiff_t tiles = 0;
    rows.for_runs(keys, [&](KeyRange run) { tiles += count(run, tile); });
    return tiles;
  }

  SmallBuffer<KeyRange, 16> tiles_;
  std::ptrdiff_t count_ = 0;
};

}  // namespace heedful
