// Philox4x32-10 one counter at a time, as in its paper: the oracle of the vectorized one and of
// dropout.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace heedful {

using PhiloxWords = std::array<std::uint32_t, 4>;

inline PhiloxWords philox_words(PhiloxWords counter, std::uint64_t seed) {
  std::uint32_t key[2] = {static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)};
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t left = 0xD2511F53ull * counter[0];
    const std::uint64_t right = 0xCD9E8D57ull * counter[2];
    counter = {static_cast<std::uint32_t>(right >> 32) ^ counter[1] ^ key[0],
               static_cast<std::uint32_t>(right),
               static_cast<std::uint32_t>(left >> 32) ^ counter[3] ^ key[1],
               static_cast<std::uint32_t>(left)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

// Whether dropout keeps the weight of a key: its word is at least p · 2^32.
inline bool keeps(double p, std::uint64_t seed, std::ptrdiff_t item, std::ptrdiff_t head,
                  std::ptrdiff_t query, std::ptrdiff_t key) {
  const PhiloxWords words =
      philox_words({static_cast<std::uint32_t>(key / 4), static_cast<std::uint32_t>(query),
                    static_cast<std::uint32_t>(head), static_cast<std::uint32_t>(item)},
                   seed);
  const double threshold = std::fmin(std::nearbyint(p * 0x1p32), 0x1p32 - 1);
  return words[static_cast<std::size_t>(key % 4)] >= threshold;
}

}  // namespace heedful
