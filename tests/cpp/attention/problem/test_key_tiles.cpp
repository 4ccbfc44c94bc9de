// Key tiles: in order, without gaps, even, and no longer than the buffers.
#include <algorithm>

#include "attention/problem/key_tiles.hpp"
#include "check.hpp"

namespace heedful {
namespace {

void tiles_follow_one_another_and_fit() {
  for (const std::ptrdiff_t tile : {1, 2, 3, 32, 100, 256}) {
    for (const std::ptrdiff_t begin : {0, 5}) {
      for (std::ptrdiff_t size = 0; size <= 5 * tile + 3;
           size += std::max<std::ptrdiff_t>(1, tile / 20)) {
        const KeyTiles tiles({begin, begin + size}, tile);
        std::ptrdiff_t next = begin, shortest = size, longest = 0;
        for (std::ptrdiff_t i = 0; i < tiles.count(); ++i) {
          check(tiles[i].begin == next && !tiles[i].empty(),
                "a tile begins where the one before it ends");
          next = tiles[i].end;
          shortest = std::min(shortest, tiles[i].size());
          longest = std::max(longest, tiles[i].size());
        }
        check(next == begin + size, "the last tile ends with the keys");
        check(longest <= KeyTiles::max_keys(tile), "no tile is longer than max_keys");
        check(tiles.count() == 0 || longest - shortest <= 1, "tiles are even");
        check(size > KeyTiles::max_keys(tile) || tiles.count() == (size > 0 ? 1 : 0),
              "up to one and a half tiles are not split");
      }
    }
  }
  check(KeyTiles({7, 3}, 4).count() == 0, "keys that end before they begin have no tiles");
}

void tiles_are_smaller_for_large_depths() {
  Problem problem;
  problem.depth = problem.value_depth = 64;
  check(tile_keys(problem) == 256, "256 keys for usual depths");
  problem.depth = problem.value_depth = 512;
  check(tile_keys(problem) == 128, "fewer for large ones");
  problem.depth = problem.value_depth = 1 << 20;
  check(tile_keys(problem) == 32, "32 at least");
  problem.depth = problem.value_depth = 0;
  check(tile_keys(problem) == 256, "depth 0 is allowed");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  tiles_follow_one_another_and_fit();
  tiles_are_smaller_for_large_depths();
  return summary();
}
