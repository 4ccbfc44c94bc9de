// The value of 16-bit floating-point bits, and the bits nearest to a value: the definitions against
// which conversions are tested.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace heedful {

// A 16-bit format: a sign, exponent bits, mantissa bits.
template <int ExponentBits>
struct HalfFormat {
  static constexpr int mantissa_bits = 15 - ExponentBits;
  static constexpr int bias = (1 << (ExponentBits - 1)) - 1;
  static constexpr std::uint16_t infinity =
      static_cast<std::uint16_t>(0x7FFF >> mantissa_bits << mantissa_bits);

  static bool is_nan(std::uint16_t bits) { return (bits & 0x7FFF) > infinity; }

  static double value(std::uint16_t bits) {
    const int exponent = (bits & 0x7FFF) >> mantissa_bits;
    const int mantissa = bits & ((1 << mantissa_bits) - 1);
    const double sign = bits & 0x8000 ? -1 : 1;
    if (is_nan(bits)) return std::numeric_limits<double>::quiet_NaN();
    if ((bits & 0x7FFF) == infinity) return sign * std::numeric_limits<double>::infinity();
    if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - mantissa_bits);
    return sign * std::ldexp(mantissa + (1 << mantissa_bits), exponent - bias - mantissa_bits);
  }

  // The same from a table.
  static double looked_up(std::uint16_t bits) {
    static const std::vector<double> values = [] {
      std::vector<double> all;
      for (int i = 0; i < 65536; ++i) all.push_back(value(static_cast<std::uint16_t>(i)));
      return all;
    }();
    return values[bits];
  }

  // The next value if exponents were unbounded: infinity counts as the next power of two.
  static double upper_neighbour(std::uint16_t bits) {
    return bits + 1 == infinity ? std::ldexp(1.0, bias + 1)
                                : value(static_cast<std::uint16_t>(bits + 1));
  }

  // Rounds a number that is not NaN to the nearest, ties to the even mantissa.
  static std::uint16_t nearest(double number) {
    const double magnitude = std::abs(number);
    const auto sign = static_cast<std::uint16_t>(std::signbit(number) ? 0x8000 : 0);
    std::uint16_t below = 0, above = infinity;  // value(below) ≤ magnitude < value(above)
    if (magnitude == std::numeric_limits<double>::infinity()) return sign | infinity;
    while (above - below > 1) {
      const auto middle = static_cast<std::uint16_t>((above + below) / 2);
      (looked_up(middle) <= magnitude ? below : above) = middle;
    }
    const double halfway = (value(below) + upper_neighbour(below)) / 2;  // exact in double
    const bool up = magnitude > halfway || (magnitude == halfway && below % 2 == 1);
    return static_cast<std::uint16_t>(sign | (below + (up ? 1 : 0)));
  }
};

using Float16 = HalfFormat<5>;
using Bfloat16 = HalfFormat<8>;

}  // namespace heedful
