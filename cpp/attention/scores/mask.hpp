// What mask and bias say about a tile of keys before its scores are there: none of the keys may be
// seen, some, or all.
#pragma once

#include <cstddef>

#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"
#include "simd/lane_bits.hpp"

namespace heedful {

// Where every lane of a panel has the same row, a mask and a bias become numbers to add, and
// nothing behind it knows of two. Where lanes have rows of their own, the mask becomes bits, and
// the bias stays with the caller until add_mask() needs it: turning the tile into a copy first cost
// twice as much.
//   keys     the tile without leading and trailing keys that no lane sees (trimmed only with
//            values); empty: every key is hidden, nothing else need be read
//   values   [key − keys.begin], −∞ where a key is hidden; null: not the same for every lane, or
//            nothing to add
//   hidden   [(key − keys.begin) / bits][lane], a bit set where a key is hidden; null: the mask
//            hides nothing, or it is among the values
//   bias     lanes have rows of bias of their own, which may hide further keys
//   hides    values or bits hide something
template <class T>
struct MaskTile {
  KeyRange keys{0, 0};
  const T* values = nullptr;
  const simd::Bits<T>* hidden = nullptr;
  bool bias = false;
  bool any_hidden = false;

  bool changes() const { return values || hidden || bias; }
};

// Numbers of T that mask_tile needs for `keys` keys.
template <class T>
inline constexpr std::ptrdiff_t mask_tile_size(std::ptrdiff_t keys) {
  return (keys + simd::bits<T> - 1) / simd::bits<T> * Panel<T>::max_lanes + keys;
}

template <class T>
MaskTile<T> mask_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                      KeyRange keys, T* buffer);

// For one row: values [key − keys.begin], bias, −∞ where it or the mask hides the key. False when
// every key is hidden.
template <class T>
bool mask_row(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
              std::ptrdiff_t query, KeyRange keys, T* values, bool& any_hidden);

}  // namespace heedful
