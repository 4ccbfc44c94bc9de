// How a range of keys is split into key tiles.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/even_ranges.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

// Keys per tile, so that scores, keys and values stay in L2: 256 for usual depths, fewer for large
// ones. 64 to 512 were within 3 %.
inline std::ptrdiff_t tile_keys(const Problem& problem) {
  const std::ptrdiff_t depths = std::max<std::ptrdiff_t>(problem.depth + problem.value_depth, 1);
  return std::clamp<std::ptrdiff_t>(131072 / depths, 32, 256);
}

// Even tiles; up to one and a half tiles are not split, since the set-up of a short last tile would
// not pay off.
class KeyTiles {
 public:
  KeyTiles(KeyRange keys, std::ptrdiff_t tile) : begin_(keys.begin), tiles_{keys.size(), 1} {
    if (keys.size() > max_keys(tile)) tiles_.count = (keys.size() + tile - 1) / tile;
    if (keys.empty()) tiles_.count = 0;
  }
  // The maximum number of keys of a tile.
  static std::ptrdiff_t max_keys(std::ptrdiff_t tile) { return tile + tile / 2; }

  std::ptrdiff_t count() const { return tiles_.count; }
  KeyRange operator[](std::ptrdiff_t i) const {
    return {begin_ + tiles_.begin(i), begin_ + tiles_.begin(i + 1)};
  }

 private:
  std::ptrdiff_t begin_;
  EvenRanges tiles_;
};

}  // namespace heedful
