// Philox4x32-10: the known answers of its authors, and every number of lanes alike.
#include <cstdint>

#include "check.hpp"
#include "philox_words.hpp"
#include "random_numbers.hpp"
#include "simd/philox.hpp"

namespace heedful {
namespace {

struct KnownAnswer {
  PhiloxWords counter;
  std::uint64_t seed;
  PhiloxWords words;
};

// tests/kat_vectors of Random123, "philox4x32 10"
constexpr KnownAnswer known_answers[] = {
    {{0, 0, 0, 0}, 0, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}},
    {{0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu},
     0xffffffffffffffffu,
     {0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}},
    {{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u},
     0x299f31d0a4093822u,
     {0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}},
};

template <int N>
PhiloxWords word_of_lane(const std::uint32_t (&words)[4][N], int lane) {
  return {words[0][lane], words[1][lane], words[2][lane], words[3][lane]};
}

template <int N>
void the_known_answers_come_out_in_every_lane() {
  for (const KnownAnswer& known : known_answers) {
    std::uint32_t words[4][N];
    for (int word = 0; word < 4; ++word) {
      for (int lane = 0; lane < N; ++lane) {
        words[word][lane] = known.counter[static_cast<std::size_t>(word)];
      }
    }
    simd::philox<N>(words, known.seed);
    for (int lane = 0; lane < N; ++lane) {
      check(word_of_lane(words, lane) == known.words, "the answer is that of Random123");
    }
  }
}

template <int N>
void lanes_draw_their_own_words() {
  RandomNumbers random(N);
  for (int n = 0; n < 100; ++n) {
    std::uint32_t words[4][N];
    PhiloxWords counters[N];
    const std::uint64_t seed = random.bits();
    for (int lane = 0; lane < N; ++lane) {
      for (int word = 0; word < 4; ++word) {
        words[word][lane] = static_cast<std::uint32_t>(random.bits());
        counters[lane][static_cast<std::size_t>(word)] = words[word][lane];
      }
    }
    simd::philox<N>(words, seed);
    bool right = true;
    for (int lane = 0; lane < N; ++lane) {
      right &= word_of_lane(words, lane) == philox_words(counters[lane], seed);
    }
    check(right, "a lane draws what one counter alone would");
  }
}

template <int... N>
void for_lanes() {
  (the_known_answers_come_out_in_every_lane<N>(), ...);
  (lanes_draw_their_own_words<N>(), ...);
}

void the_oracle_gives_the_known_answers() {
  for (const KnownAnswer& known : known_answers) {
    check(philox_words(known.counter, known.seed) == known.words,
          "the oracle agrees with Random123");
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  the_oracle_gives_the_known_answers();
  for_lanes<1, 2, 3, 8, 16, 17>();
  return summary();
}
