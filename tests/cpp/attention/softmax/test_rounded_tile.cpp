// A tile of scores weighed and rounded in steps, against exp2 and the definition of rounding.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "attention/problem/score_rule.hpp"
#include "attention/softmax/rounded_tile.hpp"
#include "attention/softmax/softmax.hpp"
#include "check.hpp"
#include "half_bits.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

constexpr double exponent = 0.37 * log2_e;
constexpr float old_maximum = 1, new_maximum = 5, old_sum = 3, old_rounded = 2;

struct Weighed {
  std::vector<std::uint32_t> words;
  std::vector<float> sum, rounded, maximum, factors;
  bool rescales;
};

// Scores [key][lane], weighed in `turns` turns.
Weighed weigh(std::vector<float> scores, std::ptrdiff_t keys, int lanes, bool begins_odd,
              std::ptrdiff_t turns) {
  const auto count = static_cast<std::size_t>(lanes);
  Weighed got{{},
              std::vector<float>(count, old_sum),
              std::vector<float>(count, old_rounded),
              std::vector<float>(count, old_maximum),
              std::vector<float>(count),
              false};
  const std::vector<float> maximum(count, new_maximum);
  const Softmax<float> softmax{static_cast<float>(exponent), 0.37f};
  RunningSoftmax<float> state{got.maximum.data(), got.sum.data(), nullptr};
  RoundedTile<Softmax<float>> tile(softmax, scores.data(), keys, lanes, begins_odd);
  got.rescales = tile.start(state, got.rounded.data(), lanes, maximum.data(), got.factors.data());
  tile.spread(turns);
  for (std::ptrdiff_t turn = 0; turn < turns; ++turn) tile.next();
  tile.finish();
  tile.add_sums(state, got.rounded.data(), lanes);
  got.words.resize(static_cast<std::size_t>((keys + 2) / 2) * count);
  std::memcpy(got.words.data(), scores.data(), got.words.size() * sizeof(std::uint32_t));
  return got;
}

bool is_near(double value, double expected) {
  return std::abs(value - expected) <= 2e-6 * std::abs(expected);
}

void weights_are_rounded_and_summed(int vectors) {
  const int lanes = vectors * simd::lanes<float>;
  for (const std::ptrdiff_t keys : {1, 2, 3, 4, 5, 7, 8, 9, 33}) {
    for (const bool begins_odd : {false, true}) {
      RandomNumbers random(11);
      std::vector<float> scores(static_cast<std::size_t>((keys + 1) * lanes));
      for (float& score : scores) score = static_cast<float>(random.between(-9, 5));
      scores[0] = minus_infinity<float>;
      const Weighed got = weigh(scores, keys, lanes, begins_odd, 2);
      bool right = got.rescales;
      const double factor = std::exp2((old_maximum - new_maximum) * exponent);
      for (int lane = 0; lane < lanes; ++lane) {
        const auto at = static_cast<std::size_t>(lane);
        double sum = old_sum * factor, rounded = old_rounded * factor;
        for (std::ptrdiff_t key = 0; key < keys; ++key) {
          const auto score = scores[static_cast<std::size_t>(key * lanes + lane)];
          const double weight = std::exp2((static_cast<double>(score) - new_maximum) * exponent);
          const std::ptrdiff_t place = key + (begins_odd ? 1 : 0);
          const std::uint32_t word = got.words[static_cast<std::size_t>(place / 2 * lanes + lane)];
          const double stored =
              Bfloat16::value(static_cast<std::uint16_t>(place % 2 == 0 ? word : word >> 16));
          // half an ulp of eight bits, and a little more: 2^x in float may be beyond a tie
          const double half_ulp = weight == 0 ? 0 : std::ldexp(1.001, std::ilogb(weight) - 8);
          right &= std::abs(stored - weight) <= half_ulp;
          sum += weight;
          rounded += stored;
        }
        // a missing key
        if (begins_odd) right &= (got.words[at] & 0xFFFFu) == 0;
        if ((keys + (begins_odd ? 1 : 0)) % 2 == 1) {
          const std::ptrdiff_t last = (keys + (begins_odd ? 1 : 0)) / 2;
          right &= got.words[static_cast<std::size_t>(last * lanes + lane)] >> 16 == 0;
        }
        right &= is_near(got.sum[at], sum) && is_near(got.rounded[at], rounded);
        right &= got.maximum[at] == new_maximum && is_near(got.factors[at], factor);
      }
      check(right, "words are the nearest bfloat16, sums those of the weights");
    }
  }
}

void turns_do_not_change_the_bits() {
  constexpr std::ptrdiff_t keys = 43;
  constexpr int lanes = 2 * simd::lanes<float>;
  RandomNumbers random(12);
  std::vector<float> scores(static_cast<std::size_t>((keys + 1) * lanes));
  for (float& score : scores) score = static_cast<float>(random.between(-9, 5));
  const Weighed once = weigh(scores, keys, lanes, false, 0);
  for (const std::ptrdiff_t turns : {1, 3, 11, 100}) {
    const Weighed spread = weigh(scores, keys, lanes, false, turns);
    check(spread.words == once.words && spread.sum == once.sum && spread.rounded == once.rounded,
          "however the steps are spread, the bits are the same");
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  for (const int vectors : {1, 2, 3}) weights_are_rounded_and_summed(vectors);
  turns_do_not_change_the_bits();
  return summary();
}
