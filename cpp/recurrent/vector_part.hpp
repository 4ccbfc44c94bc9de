// Vectors of a row's units, the last of which may be a part: lanes past its end are 0 when it is
// loaded, and are not stored.
#pragma once

#include <algorithm>
#include <cstddef>

#include "simd/packet.hpp"

namespace heedful {

template <class T>
struct VectorPart {
  std::ptrdiff_t index;  // of its first unit
  std::ptrdiff_t count;  // of its units, at most lanes<T>

  simd::Packet<T> load(const T* row) const {
    if (count == simd::lanes<T>) return simd::load(row + index);
    T part[simd::lanes<T>] = {};
    std::copy_n(row + index, count, part);
    return simd::load(part);
  }
  void store(T* row, const simd::Packet<T>& value) const {
    if (count == simd::lanes<T>) return simd::store(row + index, value);
    T part[simd::lanes<T>];
    simd::store(part, value);
    std::copy_n(part, count, row + index);
  }
};

// compute(part) for all units [0, count).
template <class T, class Compute>
void for_each_part(std::ptrdiff_t count, const Compute& compute) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  std::ptrdiff_t i = 0;
  for (; i + width <= count; i += width) compute(VectorPart<T>{i, width});
  if (i < count) compute(VectorPart<T>{i, count - i});
}

}  // namespace heedful
