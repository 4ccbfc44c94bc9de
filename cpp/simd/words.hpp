// Vectors of 32-bit words, each of which packs several elements of 16 or 8 bits.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#include "simd/packet.hpp"

namespace heedful::simd {

// A vector of words, one for each float of a vector.
typedef std::uint32_t Words __attribute__((vector_size(4 * lanes<float>)));

inline Words load_words(const void* from) {
  Words words;
  std::memcpy(&words, from, sizeof(words));
  return words;
}
inline void store_words(void* to, const Words& words) { std::memcpy(to, &words, sizeof(words)); }

// The word at an address, in all lanes.
inline Words broadcast_word(const void* from) {
  float word;  // loaded like a float, so that no general-purpose register is involved
  std::memcpy(&word, from, sizeof(word));
  return bits_as<Words>(broadcast(word));
}

// A step of summing the lanes of many vectors at once, as for packets: lanes with the bit Half have
// sums of b, the others those of a.
template <int Half>
inline Words add_halves(const Words& a, const Words& b) {
  return detail::add_halves<Half>(a, b, std::make_integer_sequence<int, lanes<float>>());
}

// Each lane in the place of the one whose index differs in the bit Half.
template <int Half>
inline Words swap_halves(const Words& a) {
  return detail::swap_halves<Half>(a, std::make_integer_sequence<int, lanes<float>>());
}

}  // namespace heedful::simd
