// c[0] + c[1] x + c[2] x² + … on packets.
#pragma once

#include "simd/packet.hpp"

namespace heedful::simd {

template <class T, int count>
inline Packet<T> polynomial(const T (&coefficients)[count], const Packet<T>& x) {
  Packet<T> value = broadcast(coefficients[count - 1]);
#pragma GCC unroll 32
  for (int i = count - 2; i >= 0; --i) value = multiply_add(value, x, broadcast(coefficients[i]));
  return value;
}

}  // namespace heedful::simd
