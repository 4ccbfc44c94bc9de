// float16 and bfloat16: every value widened, and floats narrowed to the nearest, against the
// definition of the bits.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "check.hpp"
#include "half_bits.hpp"
#include "random_numbers.hpp"
#include "simd/half.hpp"

namespace heedful {
namespace {

using Widen = void (*)(const std::uint16_t*, float*, std::ptrdiff_t);
using Narrow = void (*)(const float*, std::uint16_t*, std::ptrdiff_t);

std::vector<std::uint16_t> all_bits() {
  std::vector<std::uint16_t> bits(65536);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
  return bits;
}

template <class Format>
void every_value_widens_to_itself(Widen widen, Narrow narrow) {
  const std::vector<std::uint16_t> bits = all_bits();
  std::vector<float> wide(bits.size());
  widen(bits.data(), wide.data(), 65536);
  std::vector<std::uint16_t> back(bits.size());
  narrow(wide.data(), back.data(), 65536);
  int wrong = 0, changed = 0;
  for (std::size_t i = 0; i < bits.size(); ++i) {
    const double value = Format::value(bits[i]);
    const bool right = std::isnan(value)
                           ? std::isnan(wide[i])
                           : wide[i] == value && std::signbit(wide[i]) == std::signbit(value);
    wrong += !right;
    changed += Format::is_nan(bits[i]) ? !Format::is_nan(back[i]) : back[i] != bits[i];
  }
  check(wrong == 0, "each of the 65,536 values widens to what its bits mean");
  check(changed == 0, "each of the 65,536 values survives there and back");
}

template <class Format>
bool rounds_right(Narrow narrow, const std::vector<float>& values) {
  std::vector<std::uint16_t> bits(values.size());
  narrow(values.data(), bits.data(), static_cast<std::ptrdiff_t>(values.size()));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool right = std::isnan(values[i])
                           ? Format::is_nan(bits[i])
                           : bits[i] == Format::nearest(static_cast<double>(values[i]));
    if (!right) {
      std::printf("%a becomes 0x%04x\n", static_cast<double>(values[i]), bits[i]);
      return false;
    }
  }
  return true;
}

template <class Format>
void values_round_to_nearest_and_ties_to_even(Narrow narrow) {
  std::vector<float> values;
  for (std::uint16_t bits = 0; bits < Format::infinity; ++bits) {
    const double halfway = (Format::value(bits) + Format::upper_neighbour(bits)) / 2;
    const float tie = static_cast<float>(halfway);
    if (static_cast<double>(tie) != halfway) continue;  // below the smallest float
    for (const float value : {tie, std::nextafter(tie, 0.0f), std::nextafter(tie, 1e38f)}) {
      values.push_back(value);
      values.push_back(-value);
    }
  }
  check(values.size() > 6 * 30000, "nearly all halfway numbers are floats");
  check(rounds_right<Format>(narrow, values),
        "values between two neighbours round to the nearer one, ties to the even one");
}

template <class Format>
void any_float_narrows(Narrow narrow) {
  RandomNumbers random(4);
  std::vector<float> values;
  for (int n = 0; n < 200000; ++n) {
    values.push_back(simd::bits_as<float>(static_cast<std::uint32_t>(random.bits())));
    values.push_back(static_cast<float>(random.between(-3, 3)));
  }
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const float special :
       {0.0f, -0.0f, infinity, -infinity, std::numeric_limits<float>::max(),
        std::numeric_limits<float>::lowest(), std::numeric_limits<float>::denorm_min(),
        std::numeric_limits<float>::min(), 65504.0f, 65519.99f, 65520.0f, 65536.0f, 1e30f}) {
    values.push_back(special);
  }
  check(rounds_right<Format>(narrow, values),
        "any float goes to the nearest, or to ∞ past the last");
  // a NaN whose upper bits are all zero must not become ∞
  for (const std::uint32_t nan :
       {0x7F800001u, 0xFF800001u, 0x7FC00000u, 0xFFFFFFFFu, 0x7F80FFFFu}) {
    values.assign(37, simd::bits_as<float>(nan));
    check(rounds_right<Format>(narrow, values), "NaN stays NaN");
  }
}

template <class Format>
void lengths_are_respected(Widen widen, Narrow narrow) {
  for (std::ptrdiff_t count = 0; count <= 37; ++count) {
    const auto size = static_cast<std::size_t>(count);
    for (std::size_t shift = 0; shift < 3; ++shift) {  // away from aligned addresses
      std::vector<std::uint16_t> bits(size + shift, 0x3C00);
      std::vector<float> wide(size + shift + 1, -5.0f);
      widen(bits.data() + shift, wide.data() + shift, count);
      std::vector<std::uint16_t> back(size + shift + 1, 0xABCD);
      narrow(wide.data() + shift, back.data() + shift, count);
      bool right = wide.back() == -5.0f && back.back() == 0xABCD;
      for (std::size_t i = 0; i < size; ++i) {
        right &= wide[shift + i] == Format::value(0x3C00) && back[shift + i] == 0x3C00;
      }
      check(right, "exactly the given number of elements is converted");
    }
  }
}

template <class Format>
void everything_about(Widen widen, Narrow narrow) {
  every_value_widens_to_itself<Format>(widen, narrow);
  values_round_to_nearest_and_ties_to_even<Format>(narrow);
  any_float_narrows<Format>(narrow);
  lengths_are_respected<Format>(widen, narrow);
}

void the_definition_agrees_with_known_values() {
  check(Float16::value(0x3C00) == 1 && Float16::value(0xC000) == -2, "float16: 1 and −2");
  check(Float16::value(0x0001) == 0x1p-24 && Float16::value(0x7BFF) == 65504,
        "float16: smallest and largest");
  check(Bfloat16::value(0x3F80) == 1 && Bfloat16::value(0x0001) == 0x1p-133,
        "bfloat16: 1 and the smallest");
  check(Float16::nearest(65520) == 0x7C00 && Float16::nearest(65519.9) == 0x7BFF,
        "float16: where ∞ begins");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  the_definition_agrees_with_known_values();
  everything_about<Float16>(simd::widen_float16, simd::narrow_float16);
  everything_about<Bfloat16>(simd::widen_bfloat16, simd::narrow_bfloat16);
  return summary();
}
