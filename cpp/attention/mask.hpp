// What mask and bias say about a tile of keys: none of them may be seen, some, or all; and numbers
// to add.
#pragma once

#include <cstddef>

#include "attention/panel.hpp"
#include "attention/problem.hpp"

namespace heedful {

// Numbers to add to the scores of a tile, −∞ where a key is hidden. A mask and a bias become the
// same thing here, so nothing behind it knows of two.
//   values   [key − keys.begin][lane], or [key − keys.begin] when `uniform` (the same for every
//            lane); null: nothing to add
//   keys     the tile without leading and trailing keys that no lane sees (trimmed only when
//            uniform)
//   hides    −∞ stands among the values
template <class T>
struct MaskTile {
  const T* values = nullptr;
  KeyRange keys{0, 0};
  bool uniform = false;
  bool hides = false;
};

// Numbers of T that mask_tile needs for `keys` keys.
template <class T>
std::ptrdiff_t mask_tile_size(std::ptrdiff_t keys);

// The tile `keys` of the panel. An empty MaskTile::keys means that every key is hidden: nothing
// else need be read.
template <class T>
MaskTile<T> mask_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                      KeyRange keys, T* buffer);

// The same for one row: values [key − keys.begin]. False when every key is hidden.
template <class T>
bool mask_row(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
              std::ptrdiff_t query, KeyRange keys, T* values, bool& hides);

}  // namespace heedful
