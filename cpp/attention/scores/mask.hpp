// Mask, block mask and bias of a key tile, read before its scores are computed: whether none, some
// or all of its keys are visible.
#pragma once

#include <cstddef>

#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"
#include "simd/lane_bits.hpp"

namespace heedful {

// If all lanes of a panel share one row, mask and bias are combined into values to add. If lanes
// have rows of their own, the mask becomes bits, and the bias is read in place by add_mask():
// copying the tile transposed first cost twice as much.
//   keys        the tile without leading and trailing keys hidden from all lanes (of a mask:
//               trimmed only with values; of a block mask: whole blocks); empty: every key is
//               hidden, nothing else needs to be read
//   values      [key − keys.begin], −∞ where a key is hidden; null: not the same for every lane, or
//               nothing to add
//   hidden      [(key − keys.begin) / bits][lane], a bit set where a key is hidden; null: the masks
//               hide nothing, or are included in the values
//   bias        lanes have their own rows of bias, which may hide further keys
//   any_hidden  values or bits hide a key
template <class T>
struct MaskTile {
  KeyRange keys{0, 0};
  const T* values = nullptr;
  const simd::Bits<T>* hidden = nullptr;
  bool bias = false;
  bool any_hidden = false;

  bool changes() const { return values || hidden || bias; }
};

// Elements of T that mask_tile needs for `keys` keys.
template <class T>
inline constexpr std::ptrdiff_t mask_tile_size(std::ptrdiff_t keys) {
  return (keys + simd::bits<T> - 1) / simd::bits<T> * Panel<T>::max_lanes + keys;
}

template <class T>
MaskTile<T> mask_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                      KeyRange keys, T* buffer);

// For one row: values [key − keys.begin], the bias, −∞ where bias or mask hides the key. False if
// every key is hidden.
template <class T>
bool mask_row(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
              std::ptrdiff_t query, KeyRange keys, T* values, bool& any_hidden);

}  // namespace heedful
