// Loops over the elements of rows: full vectors, then the remaining elements one by one, from the
// same code. The callable gets a position and uses simd's operations, which accept scalars, too.
//   for_each_element<T>(count, [&](auto at) { at.store(y, simd::add(at.load(x), at.all(bias))); });
//   sum_elements<T>(count, [&](auto at) { return at.load(x); })
#pragma once

#include <algorithm>
#include <cstddef>

#include "simd/packet.hpp"

namespace heedful {

template <class T>
struct VectorAt {
  std::ptrdiff_t index;
  simd::Packet<T> load(const T* elements) const { return simd::load(elements + index); }
  simd::Packet<T> all(T value) const { return simd::broadcast(value); }
  void store(T* elements, const simd::Packet<T>& value) const {
    simd::store(elements + index, value);
  }
};

template <class T>
struct ElementAt {
  std::ptrdiff_t index;
  T load(const T* elements) const { return elements[index]; }
  T all(T value) const { return value; }
  void store(T* elements, T value) const { elements[index] = value; }
};

template <class T, class Compute>
inline void for_each_element(std::ptrdiff_t count, const Compute& compute) {
  std::ptrdiff_t i = 0;
  for (; i + simd::lanes<T> <= count; i += simd::lanes<T>) compute(VectorAt<T>{i});
  for (; i < count; ++i) compute(ElementAt<T>{i});
}

// In two levels, because the error of a sum grows with the number of successive additions.
template <class T, class Term>
inline T sum_elements(std::ptrdiff_t count, const Term& term) {
  constexpr int width = simd::lanes<T>,
                num_sums = 4;  // independent sums: an addition waits for the one before it
  constexpr std::ptrdiff_t successive = 16;
  simd::Packet<T> total = simd::broadcast(T{0});
  std::ptrdiff_t i = 0;
  while (i + num_sums * width <= count) {
    simd::Packet<T> sums[num_sums];
#pragma GCC unroll 4
    for (int j = 0; j < num_sums; ++j) sums[j] = simd::broadcast(T{0});
    const std::ptrdiff_t end = std::min(count, i + successive * num_sums * width);
    for (; i + num_sums * width <= end; i += num_sums * width) {
#pragma GCC unroll 4
      for (int j = 0; j < num_sums; ++j) {
        sums[j] = simd::add(sums[j], term(VectorAt<T>{i + j * width}));
      }
    }
    total = simd::add(total, simd::add(simd::add(sums[0], sums[1]), simd::add(sums[2], sums[3])));
  }
  for (; i + width <= count; i += width) total = simd::add(total, term(VectorAt<T>{i}));
  T remainder = 0;
  for (; i < count; ++i) remainder += term(ElementAt<T>{i});
  return simd::sum(total) + remainder;
}

}  // namespace heedful
