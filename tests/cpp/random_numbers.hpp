// Numbers that look random and are the same in every run and on every machine.
#pragma once

#include <cstdint>

namespace heedful {

class RandomNumbers {
 public:
  explicit RandomNumbers(std::uint64_t seed) : state_(seed) {}

  // SplitMix64 (Steele, Lea and Flood, 2014)
  std::uint64_t bits() {
    std::uint64_t word = state_ += 0x9E3779B97F4A7C15u;
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
    return word ^ (word >> 31);
  }

  double between(double low, double high) {
    return low + (high - low) * static_cast<double>(bits() >> 11) * 0x1p-53;
  }

  // A multiple of 1/32 in [−2, 2]: exact in every element type.
  double exact() { return static_cast<double>(bits() % 129) / 32 - 2; }

 private:
  std::uint64_t state_;
};

}  // namespace heedful
