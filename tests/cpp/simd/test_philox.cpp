// Philox4x32-10: the known answers of its authors, lanes that do not affect each other, and the
// rounds that are computed ahead.
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

PhiloxWords words_of_lane(const simd::Words (&words)[4], int lane) {
  return {words[0][lane], words[1][lane], words[2][lane], words[3][lane]};
}

void every_lane_has_the_known_answers() {
  for (const KnownAnswer& known : known_answers) {
    simd::Words words[4];
    for (int word = 0; word < 4; ++word) {
      words[word] = simd::Words{} + known.counter[static_cast<std::size_t>(word)];
    }
    simd::philox(words, simd::PhiloxKeys(known.seed));
    for (int lane = 0; lane < simd::word_lanes; ++lane) {
      check(words_of_lane(words, lane) == known.words, "the answer is that of Random123");
    }
  }
}

void lanes_draw_their_own_words() {
  RandomNumbers random(1);
  for (int n = 0; n < 100; ++n) {
    simd::Words words[4];
    PhiloxWords counters[simd::word_lanes];
    const std::uint64_t seed = random.bits();
    for (int lane = 0; lane < simd::word_lanes; ++lane) {
      for (int word = 0; word < 4; ++word) {
        words[word][lane] = static_cast<std::uint32_t>(random.bits());
        counters[lane][static_cast<std::size_t>(word)] = words[word][lane];
      }
    }
    simd::philox(words, simd::PhiloxKeys(seed));
    bool right = true;
    for (int lane = 0; lane < simd::word_lanes; ++lane) {
      right &= words_of_lane(words, lane) == philox_words(counters[lane], seed);
    }
    check(right, "a lane draws what one counter alone would");
  }
}

void rounds_computed_ahead_change_nothing() {
  RandomNumbers random(2);
  for (int n = 0; n < 100; ++n) {
    const std::uint64_t seed = random.bits();
    const auto fourth = static_cast<std::uint32_t>(random.bits());
    simd::Words second{}, third{};
    for (int lane = 0; lane < simd::word_lanes; ++lane) {
      second[lane] = static_cast<std::uint32_t>(random.bits());
      third[lane] = static_cast<std::uint32_t>(random.bits());
    }
    const simd::PhiloxKeys keys(seed);
    const simd::PhiloxLanes lanes(second, third, fourth, keys);
    for (const std::uint32_t first : {0u, 1u, static_cast<std::uint32_t>(random.bits()), ~0u}) {
      simd::Words words[4];
      lanes.draw(first, keys, words);
      bool right = true;
      for (int lane = 0; lane < simd::word_lanes; ++lane) {
        right &= words_of_lane(words, lane) ==
                 philox_words({first, second[lane], third[lane], fourth}, seed);
      }
      check(right, "the counters (first, second, third, fourth) draw the same words");
    }
  }
}

void the_oracle_has_the_known_answers() {
  for (const KnownAnswer& known : known_answers) {
    check(philox_words(known.counter, known.seed) == known.words,
          "the oracle agrees with Random123");
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  the_oracle_has_the_known_answers();
  every_lane_has_the_known_answers();
  lanes_draw_their_own_words();
  rounds_computed_ahead_change_nothing();
  return summary();
}
