// Random bits as a function of a counter and a key: Philox4x32-10 (Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3", 2011). There is no state from call to call, so every tile can draw
// its own numbers, in any order.
//
// A round multiplies 32-bit words into 64-bit products, whose upper half becomes one word and whose
// lower half another. Processors multiply the lower halves of 64-bit lanes, so even and odd lanes
// are kept in two registers, a word in the lower half of each 64 bits: the product itself then
// serves as the lower word, because the bits above a word are never read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "simd/packet.hpp"

#if defined(__SSE2__)
#include <immintrin.h>
#endif

namespace heedful::simd {

// One word for each float of a register.
inline constexpr int word_lanes = lanes<float>;
typedef std::uint32_t Words __attribute__((vector_size(4 * word_lanes)));

// The keys of the rounds, from a seed.
struct PhiloxKeys {
  static constexpr int rounds = 10;
  std::uint32_t first[rounds], second[rounds];

  explicit PhiloxKeys(std::uint64_t seed) {
    for (std::uint32_t round = 0; round < rounds; ++round) {
      first[round] = static_cast<std::uint32_t>(seed) + round * 0x9E3779B9u;
      second[round] = static_cast<std::uint32_t>(seed >> 32) + round * 0xBB67AE85u;
    }
  }
};

namespace detail {

typedef std::uint64_t Halves __attribute__((vector_size(4 * word_lanes)));

inline constexpr std::uint64_t lower = 0xFFFFFFFF;
inline constexpr std::uint64_t multipliers[2] = {0xD2511F53, 0xCD9E8D57};

inline Halves broadcast_word(std::uint64_t word) { return Halves{} + word; }

// Products of the lower halves.
inline Halves product(const Halves& a, const Halves& b) {
#if defined(__AVX512F__)
  return bits_as<Halves>(_mm512_mul_epu32(bits_as<__m512i>(a), bits_as<__m512i>(b)));
#elif defined(__AVX2__)
  return bits_as<Halves>(_mm256_mul_epu32(bits_as<__m256i>(a), bits_as<__m256i>(b)));
#elif defined(__SSE2__) && !defined(__AVX__)
  return bits_as<Halves>(_mm_mul_epu32(bits_as<__m128i>(a), bits_as<__m128i>(b)));
#else
  return (a & lower) * (b & lower);
#endif
}

// The words of the even and of the odd lanes; finish() does the rounds [begin, 10).
struct PhiloxState {
  Halves even[4], odd[4];

  void finish(int begin, const PhiloxKeys& keys) {
    const Halves by0 = broadcast_word(multipliers[0]), by1 = broadcast_word(multipliers[1]);
#pragma GCC unroll 10
    for (int round = begin; round < PhiloxKeys::rounds; ++round) {
      const Halves key0 = broadcast_word(keys.first[round]),
                   key1 = broadcast_word(keys.second[round]);
      for (Halves* const words : {even, odd}) {
        const Halves product0 = product(words[0], by0), product1 = product(words[2], by1);
        words[0] = (product1 >> 32) ^ words[1] ^ key0;
        words[2] = (product0 >> 32) ^ words[3] ^ key1;
        words[1] = product1;
        words[3] = product0;
      }
    }
  }

  Words word(int index) const { return bits_as<Words>((even[index] & lower) | (odd[index] << 32)); }
};

}  // namespace detail

// Replaces counters of four words, one counter a lane, by four random words each.
inline void philox(Words (&words)[4], const PhiloxKeys& keys) {
  detail::PhiloxState state;
  for (int i = 0; i < 4; ++i) {
    state.even[i] = bits_as<detail::Halves>(words[i]);
    state.odd[i] = state.even[i] >> 32;
  }
  state.finish(0, keys);
  for (int i = 0; i < 4; ++i) words[i] = state.word(i);
}

// The counters (n, second[lane], third[lane], fourth) for many n. In two of the ten rounds no
// factor depends on both n and the lane: they are done once per lane here, and once per n.
class PhiloxLanes {
 public:
  PhiloxLanes() = default;
  PhiloxLanes(const Words& second, const Words& third, std::uint32_t fourth, const PhiloxKeys& keys)
      : fourth_(fourth) {
    using namespace detail;
    const Halves seconds = bits_as<Halves>(second), thirds = bits_as<Halves>(third);
    start(seconds, thirds, keys, even_);
    start(seconds >> 32, thirds >> 32, keys, odd_);
  }

  void draw(std::uint32_t n, const PhiloxKeys& keys, Words (&words)[4]) const {
    using namespace detail;
    const std::uint64_t product0 = multipliers[0] * n;
    const std::uint64_t product1 =
        multipliers[1] * static_cast<std::uint32_t>((product0 >> 32) ^ fourth_ ^ keys.second[0]);
    const Halves word0 = broadcast_word((product1 >> 32) ^ keys.first[1]);
    const Halves word1 = broadcast_word(product1);
    const Halves word2 = broadcast_word((product0 & lower) ^ keys.second[1]);
    PhiloxState state;
    state.even[0] = word0 ^ even_[0];
    state.odd[0] = word0 ^ odd_[0];
    state.even[1] = state.odd[1] = word1;
    state.even[2] = word2 ^ even_[1];
    state.odd[2] = word2 ^ odd_[1];
    state.even[3] = even_[2];
    state.odd[3] = odd_[2];
    state.finish(2, keys);
    for (int i = 0; i < 4; ++i) words[i] = state.word(i);
  }

 private:
  static void start(const detail::Halves& second, const detail::Halves& third,
                    const PhiloxKeys& keys, detail::Halves (&to)[3]) {
    using namespace detail;
    const Halves product1 = product(third, broadcast_word(multipliers[1]));
    const Halves word0 = (product1 >> 32) ^ second ^ broadcast_word(keys.first[0]);
    const Halves product0 = product(word0, broadcast_word(multipliers[0]));
    to[0] = product1;
    to[1] = product0 >> 32;
    to[2] = product0;
  }

  std::uint64_t fourth_ = 0;
  detail::Halves even_[3], odd_[3];
};

}  // namespace heedful::simd
