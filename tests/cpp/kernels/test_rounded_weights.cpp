// Softmax weights rounded to bfloat16 in pairs of keys, against the definition of rounding.
#include <cmath>
#include <cstring>
#include <vector>

#include "check.hpp"
#include "half_bits.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/rounded_weights.hpp"
#include "random_numbers.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

constexpr float gap = -77;

void weights_are_rounded_and_paired(int lanes) {
  for (const std::ptrdiff_t keys : {1, 2, 3, 8}) {
    for (const bool begins_odd : {false, true}) {
      RandomNumbers random(9);
      std::vector<float> weights(static_cast<std::size_t>((keys + 1) * lanes), gap);
      for (std::ptrdiff_t i = 0; i < keys * lanes; ++i) {
        weights[static_cast<std::size_t>(i)] = static_cast<float>(random.between(0, 1));
      }
      const std::vector<float> given = weights;
      auto* const words = reinterpret_cast<std::uint32_t*>(weights.data());
      std::vector<float> sums(static_cast<std::size_t>(lanes), 1.0f);
      const std::ptrdiff_t pairs =
          pair_weights(weights.data(), keys, lanes, begins_odd, words, sums.data());
      bool right = pairs == (keys + (begins_odd ? 1 : 0) + 1) / 2;
      for (std::ptrdiff_t at = 0; at < 2 * pairs * lanes; ++at) {
        const std::ptrdiff_t key = at / lanes - (begins_odd ? 1 : 0), lane = at % lanes;
        const bool there = key >= 0 && key < keys;
        const auto word = static_cast<std::size_t>(at / lanes / 2 * lanes + lane);
        std::uint32_t bits;
        std::memcpy(&bits, words + word, sizeof(bits));
        const bool odd = at / lanes % 2 == 1;
        const double expected = there ? given[static_cast<std::size_t>(key * lanes + lane)] : 0;
        right &= static_cast<std::uint16_t>(odd ? bits >> 16 : bits) == Bfloat16::nearest(expected);
      }
      for (std::size_t lane = 0; lane < sums.size(); ++lane) {
        double sum = 1;
        for (std::size_t key = 0; key < static_cast<std::size_t>(keys); ++key) {
          const double weight = given[key * sums.size() + lane];
          sum += Bfloat16::looked_up(Bfloat16::nearest(weight));
        }
        right &= std::abs(sums[lane] - sum) <= 1e-5;
      }
      check(right, "pairs hold the nearest bfloat16, and zeros where a key is missing");
    }
  }
}

void columns_are_scaled() {
  constexpr int lanes = simd::lanes<float>;
  std::vector<float> values(3 * lanes, 2.0f), factors(lanes, 0.5f);
  factors[1] = -3;
  scale_columns(values.data(), 3, lanes, factors.data());
  bool right = true;
  for (std::size_t i = 0; i < values.size(); ++i) right &= values[i] == (i % lanes == 1 ? -6 : 1);
  check(right, "each lane has a factor of its own");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  for (int vectors = 1; vectors <= max_vectors; ++vectors) {
    weights_are_rounded_and_paired(vectors * simd::lanes<float>);
  }
  columns_are_scaled();
  return summary();
}
