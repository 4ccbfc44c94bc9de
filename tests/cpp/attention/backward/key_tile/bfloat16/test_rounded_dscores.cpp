// Rounded probabilities and score gradients of a block of keys, against the definition in long
// double, element by element, in every layout in which they are written.
#include <cmath>
#include <limits>
#include <vector>

#include "attention/backward/key_tile/bfloat16/rounded_dscores.hpp"
#include "check.hpp"
#include "half_bits.hpp"
#include "kernels/micro_kernel.hpp"
#include "random_numbers.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

constexpr float minus_infinity_score = -std::numeric_limits<float>::infinity();

struct Options {
  bool hides, drops, caps, keeps_dscores;
};

struct Example {
  static constexpr std::ptrdiff_t keys = 6, row = 100;
  int lanes;
  std::vector<float> scores, dprobabilities, base, factor, delta, keep, cap, dscores;
  std::vector<std::uint16_t> probabilities, dproducts;
  std::vector<std::uint32_t> words, rests;
  ScoreRule<float> rule{};
  RoundedDscores block{};

  Example(int lanes_, const Options& options) : lanes(lanes_) {
    RandomNumbers random(3);
    const auto size = static_cast<std::size_t>(keys * lanes);
    const auto fill = [&](std::vector<float>& to, std::size_t count, double low, double high) {
      to.resize(count);
      for (float& number : to) number = static_cast<float>(random.between(low, high));
    };
    fill(scores, size, -3, 3);
    fill(dprobabilities, size, -2, 2);
    fill(cap, size, 0, 1);
    fill(keep, size, 0, 1);
    for (float& number : keep) number = number < 0.3f ? 0.0f : 1.25f;
    fill(base, static_cast<std::size_t>(lanes), 1, 4);
    fill(factor, static_cast<std::size_t>(lanes), 0.9, 1.1);
    fill(delta, static_cast<std::size_t>(lanes), -1, 1);
    dscores.assign(size, 0);
    for (std::size_t i = 0; options.hides && i < size; i += 5) {
      scores[i] = minus_infinity_score;
      dprobabilities[i] = std::numeric_limits<float>::quiet_NaN();
    }
    probabilities.assign(static_cast<std::size_t>(keys * row), 0x4242);
    dproducts = probabilities;
    words.resize(size / 2);
    rests.resize(size / 2);
    rule.exponent = 1.5f;
    rule.natural = 1.5f / 1.44269504f;
    block = {keys,
             lanes,
             options.hides,
             scores.data(),
             dprobabilities.data(),
             base.data(),
             factor.data(),
             delta.data(),
             options.drops ? keep.data() : nullptr,
             options.caps ? cap.data() : nullptr,
             row,
             probabilities.data(),
             dproducts.data(),
             words.data(),
             rests.data(),
             options.keeps_dscores ? dscores.data() : nullptr};
    round_dscores(rule, block);
  }

  // Within half a unit of bfloat16's last place, and float's rounding.
  static bool is_rounded(double found, long double exact) {
    return std::abs(found - exact) <= std::abs(exact) * (0x1p-8L + 1e-5L) + 1e-7L;
  }

  void check_element(std::ptrdiff_t key, std::ptrdiff_t lane) const {
    const auto at = static_cast<std::size_t>(key * lanes + lane);
    const auto l = static_cast<std::size_t>(lane);
    const bool hidden = scores[at] == minus_infinity_score;
    const long double kept = block.keep_factors ? static_cast<long double>(keep[at]) : 1.0L;
    const long double weight =
        hidden ? 0.0L
               : std::exp2((static_cast<long double>(scores[at]) - base[l]) * rule.exponent) *
                     factor[l];
    const long double dscore =
        hidden ? 0.0L : weight * (kept * dprobabilities[at] - static_cast<long double>(delta[l]));
    const long double dproduct =
        block.cap_derivative ? dscore * static_cast<long double>(cap[at]) : dscore;

    const auto in_rows = static_cast<std::size_t>(key * row + lane);
    const double rounded = Bfloat16::looked_up(dproducts[in_rows]);
    check(is_rounded(Bfloat16::looked_up(probabilities[in_rows]), kept * weight),
          "the probability, after dropout");
    check(is_rounded(rounded, dproduct), "dproduct, rounded");
    const auto half = [&](const std::vector<std::uint32_t>& pairs) {
      const std::uint32_t word = pairs[static_cast<std::size_t>(key / 2 * lanes + lane)];
      return static_cast<double>(
          Bfloat16::looked_up(static_cast<std::uint16_t>(key % 2 == 1 ? word >> 16 : word)));
    };
    check(half(words) == rounded, "the same in words of two keys");
    check(std::abs(half(words) + half(rests) - dproduct) <=
              std::abs(dproduct) * (0x1p-16L + 1e-5L) + 1e-6L,
          "with the rest it has 16 bits");
    if (block.dscores) {
      check(std::abs(dscores[at] - dscore) <= 1e-5L * std::abs(dscore) + 1e-6L,
            "dscore is not rounded");
    }
  }
};

void every_element_is_that_of_the_definition() {
  for (int vectors = 1; vectors <= max_vectors; ++vectors) {
    for (int bits = 0; bits < 16; ++bits) {
      const Example example(vectors * simd::lanes<float>,
                            {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0});
      for (std::ptrdiff_t key = 0; key < Example::keys; ++key) {
        for (std::ptrdiff_t lane = 0; lane < example.lanes; ++lane) {
          example.check_element(key, lane);
        }
        check(example.probabilities[static_cast<std::size_t>(key * Example::row + example.lanes)] ==
                  0x4242,
              "nothing is written past the lanes");
      }
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::every_element_is_that_of_the_definition();
  return heedful::summary();
}
