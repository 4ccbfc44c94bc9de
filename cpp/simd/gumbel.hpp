// Standard Gumbel noise from random words (Gumbel 1954):
//   g = −ln(−ln u)     u = (n + ½) / 2^31     n: the upper 31 bits of the word
// So 0 < u < 1, and −3.1 < g < 22.2 is finite for every word. The error is below 3 ulps of
// max(1, |g|).
#pragma once

#include <cstdint>

#include "simd/log.hpp"
#include "simd/packet.hpp"
#include "simd/words.hpp"

namespace heedful::simd {

// From n and 2^31 − 1 − n, each of which may be rounded to T. Where u is near 1, ln u is computed
// from 1 − u, which would not survive in u.
template <class T>
inline Packet<T> gumbel(const Packet<T>& n, const Packet<T>& complement) {
  const Packet<T> unit = broadcast(T(0x1p-31)), half = broadcast(T(0x1p-32));
  LogParts<T> u(multiply_add(n, unit, half));
  u.h = select(equal(u.k, broadcast(T{0})), multiply_add(complement, unit, half), u.h);
  return minus_log(LogParts<T>(minus_log(u)));
}

// Of one word in each lane.
inline Packet<float> gumbel(const Words& words) {
  typedef std::int32_t Integers __attribute__((vector_size(sizeof(Words))));
  typedef float Floats __attribute__((vector_size(sizeof(Words))));
  const auto as_floats = [](const Words& integers) {
    return bits_as<Packet<float>>(__builtin_convertvector(bits_as<Integers>(integers), Floats));
  };
  const Words n = words >> 1;
  return gumbel<float>(as_floats(n), as_floats(n ^ 0x7FFFFFFFu));
}

// Of an array of words.
template <class T>
inline void gumbel(const std::uint32_t* words, int count, T* to) {
  constexpr int width = lanes<T>;
  for (int begin = 0; begin < count; begin += width) {
    T n[width] = {}, complement[width] = {}, noise[width];
    for (int i = 0; i < width && begin + i < count; ++i) {
      n[i] = static_cast<T>(words[begin + i] >> 1);
      complement[i] = static_cast<T>(~words[begin + i] >> 1);
    }
    store(noise, gumbel<T>(load(n), load(complement)));
    for (int i = 0; i < width && begin + i < count; ++i) to[begin + i] = noise[i];
  }
}

}  // namespace heedful::simd
