// Random bits as a function of a counter and a key: Philox4x32-10 (Salmon et al., "Parallel random
// numbers: as easy as 1, 2, 3", 2011). Nothing is carried from call to call, so every tile can draw
// its own numbers, in any order.
#pragma once

#include <cstdint>

namespace heedful::simd {

// N counters of four words each, turned in place into N times four random words. Plain loops over
// N, which the compiler makes vectors of.
template <int N>
inline void philox(std::uint32_t (&words)[4][N], std::uint64_t seed) {
  std::uint32_t key0 = static_cast<std::uint32_t>(seed);
  std::uint32_t key1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int n = 0; n < N; ++n) {
      const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * words[0][n];
      const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * words[2][n];
      const std::uint32_t word0 = static_cast<std::uint32_t>(product1 >> 32) ^ words[1][n] ^ key0;
      const std::uint32_t word2 = static_cast<std::uint32_t>(product0 >> 32) ^ words[3][n] ^ key1;
      words[1][n] = static_cast<std::uint32_t>(product1);
      words[3][n] = static_cast<std::uint32_t>(product0);
      words[0][n] = word0;
      words[2][n] = word2;
    }
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

}  // namespace heedful::simd
