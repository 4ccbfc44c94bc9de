// How a range of keys is cut into tiles.
#pragma once

#include <algorithm>
#include <cstddef>

#include "attention/problem/problem.hpp"

namespace heedful {

// Keys that keep their scores, keys and values in the second cache: 256 for usual depths, fewer for
// great ones. 64 to 512 were within 3 %.
inline std::ptrdiff_t tile_keys(const Problem& problem) {
  const std::ptrdiff_t depths = std::max<std::ptrdiff_t>(problem.depth + problem.value_depth, 1);
  return std::clamp<std::ptrdiff_t>(131072 / depths, 32, 256);
}

// Even tiles; up to one and a half tiles stay whole, since a short last tile would waste its
// set-up.
class KeyTiles {
 public:
  KeyTiles(KeyRange keys, std::ptrdiff_t tile) : keys_(keys) {
    count_ = keys.size() <= most(tile) ? 1 : (keys.size() + tile - 1) / tile;
    if (keys.empty()) count_ = 0;
  }
  // Keys of the longest tile.
  static std::ptrdiff_t most(std::ptrdiff_t tile) { return tile + tile / 2; }

  std::ptrdiff_t count() const { return count_; }
  KeyRange operator[](std::ptrdiff_t i) const {
    return {keys_.begin + keys_.size() * i / count_, keys_.begin + keys_.size() * (i + 1) / count_};
  }

 private:
  KeyRange keys_;
  std::ptrdiff_t count_;
};

}  // namespace heedful
