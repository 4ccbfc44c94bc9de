// Loops over the numbers of rows: whole vectors, then single numbers, by one piece of code. What is
// called gets the place and uses simd's operations, which know single numbers too.
//   each_number<T>(count, [&](auto at) { at.store(y, simd::add(at.load(x), at.all(bias))); });
//   sum_numbers<T>(count, [&](auto at) { return at.load(x); })
#pragma once

#include <algorithm>
#include <cstddef>

#include "simd/packet.hpp"

namespace heedful {

template <class T>
struct VectorAt {
  std::ptrdiff_t place;
  simd::Packet<T> load(const T* numbers) const { return simd::load(numbers + place); }
  simd::Packet<T> all(T number) const { return simd::broadcast(number); }
  void store(T* numbers, const simd::Packet<T>& value) const {
    simd::store(numbers + place, value);
  }
};

template <class T>
struct NumberAt {
  std::ptrdiff_t place;
  T load(const T* numbers) const { return numbers[place]; }
  T all(T number) const { return number; }
  void store(T* numbers, T value) const { numbers[place] = value; }
};

template <class T, class Compute>
inline void each_number(std::ptrdiff_t count, const Compute& compute) {
  std::ptrdiff_t i = 0;
  for (; i + simd::lanes<T> <= count; i += simd::lanes<T>) compute(VectorAt<T>{i});
  for (; i < count; ++i) compute(NumberAt<T>{i});
}

// In two levels, because the error of a sum grows with the number of additions in a row.
template <class T, class Term>
inline T sum_numbers(std::ptrdiff_t count, const Term& term) {
  constexpr int width = simd::lanes<T>, together = 4;  // an addition waits for the one before
  constexpr std::ptrdiff_t in_a_row = 16;
  simd::Packet<T> total = simd::broadcast(T{0});
  std::ptrdiff_t i = 0;
  while (i + together * width <= count) {
    simd::Packet<T> sums[together];
#pragma GCC unroll 4
    for (int j = 0; j < together; ++j) sums[j] = simd::broadcast(T{0});
    const std::ptrdiff_t end = std::min(count, i + in_a_row * together * width);
    for (; i + together * width <= end; i += together * width) {
#pragma GCC unroll 4
      for (int j = 0; j < together; ++j) {
        sums[j] = simd::add(sums[j], term(VectorAt<T>{i + j * width}));
      }
    }
    total = simd::add(total, simd::add(simd::add(sums[0], sums[1]), simd::add(sums[2], sums[3])));
  }
  for (; i + width <= count; i += width) total = simd::add(total, term(VectorAt<T>{i}));
  T rest = 0;
  for (; i < count; ++i) rest += term(NumberAt<T>{i});
  return simd::sum(total) + rest;
}

}  // namespace heedful
