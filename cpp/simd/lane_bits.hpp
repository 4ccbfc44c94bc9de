// A word of bits for each lane of a vector: bit k of a lane is the k-th of a run of conditions, 32
// for floats, 64 for doubles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "simd/packet.hpp"

namespace heedful::simd {

template <class T>
using Bits = std::conditional_t<sizeof(T) == sizeof(std::uint64_t), std::uint64_t, std::uint32_t>;

template <class T>
inline constexpr int bits = 8 * sizeof(Bits<T>);

// Bit i is set if the i-th of `count` ≤ bits<T> bytes is zero.
template <class T>
inline Bits<T> zeros(const char* bytes, std::ptrdiff_t stride, std::ptrdiff_t count) {
  Bits<T> found = 0;
  std::ptrdiff_t i = 0;
#ifdef __SSE2__
  if (stride == 1) {
    for (; i + 16 <= count; i += 16) {
      const __m128i chunk = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + i));
      const int zero = _mm_movemask_epi8(_mm_cmpeq_epi8(chunk, _mm_setzero_si128()));
      found |= static_cast<Bits<T>>(zero) << i;
    }
  }
#endif
  for (; i < count; ++i) found |= static_cast<Bits<T>>(bytes[i * stride] == 0) << i;
  return found;
}

// Bit i is bit first + i of a row of bits, the lowest bit of a byte being its first; `count` from 1
// to bits<T>. Bytes past the last one are not read.
template <class T>
inline Bits<T> bits_at(const unsigned char* bytes, std::ptrdiff_t first, std::ptrdiff_t count) {
  bytes += first / 8;
  const int shift = static_cast<int>(first % 8);
  const std::ptrdiff_t size = (shift + count + 7) / 8;
  std::uint64_t found = 0;
  for (std::ptrdiff_t i = 0; i < size && i < 8; ++i) {
    found |= static_cast<std::uint64_t>(bytes[i]) << (8 * i);
  }
  found >>= shift;
  if (size > 8) found |= static_cast<std::uint64_t>(bytes[8]) << (64 - shift);
  return static_cast<Bits<T>>(found) & (~Bits<T>{0} >> (bits<T> - count));
}

// The words of one vector of lanes, tested from the last bit to the first.
template <class T>
class LaneBits {
 public:
  // The first bit to be tested is `last`.
  LaneBits(const Bits<T>* words, std::ptrdiff_t last) {
    std::memcpy(&words_, words, sizeof(words_));
    words_ <<= static_cast<Word>(bits<T> - 1 - last);
  }
  // `yes` in the lanes whose bit is set, `no` in the others.
  Packet<T> select(const Packet<T>& yes, const Packet<T>& no) const {
    return bits_as<Packet<T>>(words_ < 0 ? bits_as<Words>(yes) : bits_as<Words>(no));
  }
  void step() { words_ <<= 1; }

 private:
  // signed, because the highest bit is the cheapest to test
  using Word = std::make_signed_t<Bits<T>>;
  typedef Word Words __attribute__((vector_size(sizeof(Packet<T>))));
  Words words_;
};

}  // namespace heedful::simd
