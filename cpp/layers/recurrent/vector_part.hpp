// Vectors of a row's units, the last of which may be a part: lanes past its end are 0 when it is
// loaded, and are not stored.
#pragma once

#include <algorithm>
#include <cstddef>

#include "simd/packet.hpp"

namespace heedful {

// A full vector, which needs no copy.
template <class T>
struct FullVector {
  std::ptrdiff_t index;  // of its first unit

  simd::Packet<T> load(const T* row) const { return simd::load(row + index); }
  void store(T* row, const simd::Packet<T>& value) const { simd::store(row + index, value); }
};

template <class T>
struct PartialVector {
  std::ptrdiff_t index;  // of its first unit
  std::ptrdiff_t count;  // of its units, fewer than lanes<T>

  simd::Packet<T> load(const T* row) const {
    T part[simd::lanes<T>] = {};
    std::copy_n(row + index, count, part);
    return simd::load(part);
  }
  void store(T* row, const simd::Packet<T>& value) const {
    T part[simd::lanes<T>];
    simd::store(part, value);
    std::copy_n(part, count, row + index);
  }
};

// compute(part) for all units [0, count). A type for each kind of part, so that the loop over full
// vectors is compiled without a branch or a call.
template <class T, class Compute>
void for_each_part(std::ptrdiff_t count, const Compute& compute) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  std::ptrdiff_t i = 0;
  for (; i + width <= count; i += width) compute(FullVector<T>{i});
  if (i < count) compute(PartialVector<T>{i, count - i});
}

}  // namespace heedful
