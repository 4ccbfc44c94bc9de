// Two vectors of floats rounded to bfloat16, to nearest even, and what products read of them:
//   pair.store_even(to), pair.store_odd(to)   the elements of each vector
//   pair.words()                              both of a lane in one word, the even one low
// RoundedPair runs everywhere; InstructionPair, with the same bits but for subnormal numbers, which
// products take for 0, has the conversion of AVX512-BF16.
#pragma once

#include <cstdint>
#include <cstring>

#include "simd/bfloat16_pairs.hpp"
#include "simd/half.hpp"
#include "simd/packet.hpp"

namespace heedful::simd {

class RoundedPair {
 public:
  static RoundedPair of(const Packet<float>& even, const Packet<float>& odd) {
    RoundedPair pair;
    store(reinterpret_cast<Bfloat16*>(&pair.even_), even);
    store(reinterpret_cast<Bfloat16*>(&pair.odd_), odd);
    return pair;
  }
  void store_even(std::uint16_t* to) const { std::memcpy(to, &even_, sizeof(even_)); }
  void store_odd(std::uint16_t* to) const { std::memcpy(to, &odd_, sizeof(odd_)); }
  Words words() const {
    return __builtin_convertvector(even_, Words) | __builtin_convertvector(odd_, Words) << 16;
  }

 private:
  HalfBits even_, odd_;
};

#if HEEDFUL_BFLOAT16_PAIRS

class InstructionPair {
 public:
  HEEDFUL_PAIRS_TARGET static InstructionPair of(const Packet<float>& even,
                                                 const Packet<float>& odd) {
    return {bits_as<__m512i>(_mm512_cvtne2ps_pbh(odd, even))};
  }
  void store_even(std::uint16_t* to) const { std::memcpy(to, &halves, sizeof(halves) / 2); }
  void store_odd(std::uint16_t* to) const {
    const __m256i odd = _mm512_extracti64x4_epi64(halves, 1);
    std::memcpy(to, &odd, sizeof(odd));
  }
  Words words() const {
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return bits_as<Words>(_mm512_permutexvar_epi16(order, halves));
  }

  __m512i halves;  // the even vector, then the odd one
};

#endif

// The two vectors of words(), as floats.
inline Packet<float> even_of(const Words& words) { return bits_as<Packet<float>>(words << 16); }
inline Packet<float> odd_of(const Words& words) {
  return bits_as<Packet<float>>(words & 0xFFFF0000u);
}

}  // namespace heedful::simd
