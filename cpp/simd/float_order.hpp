// Floating-point numbers as integers of the same order, so that the numbers between two of them can
// be bisected: −∞ < … < −0 < 0 < … < ∞, consecutive numbers being consecutive integers.
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include "simd/packet.hpp"

namespace heedful::simd {

template <class T>
using Order = std::conditional_t<sizeof(T) == sizeof(double), std::int64_t, std::int32_t>;

// Of any number but NaN. The integer past that of ∞ belongs to none.
template <class T>
inline Order<T> order_of(T number) {
  const auto bits = bits_as<Order<T>>(number);
  return bits < 0 ? bits ^ std::numeric_limits<Order<T>>::max() : bits;
}
template <class T>
inline T number_of(Order<T> order) {
  return bits_as<T>(order < 0 ? order ^ std::numeric_limits<Order<T>>::max() : order);
}

// The integer in the middle, rounded down, without overflow.
template <class Integer>
inline Integer middle(Integer low, Integer high) {
  return (low & high) + ((low ^ high) >> 1);
}

}  // namespace heedful::simd
