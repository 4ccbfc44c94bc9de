// Rows quantised by their range, against the same formulas element by element.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "check.hpp"
#include "kernels/quantised_row.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

constexpr float largest = std::numeric_limits<float>::max();
constexpr float smallest = std::numeric_limits<float>::min();

template <class Integer>
bool is_quantised(const std::vector<float>& x) {
  float low = 0, high = 0;
  for (const float value : x) {
    low = std::fmin(low, value);
    high = std::fmax(high, value);
  }
  const volatile float of_high = high / 255, of_low = low / 255;
  const float scale = std::fmax(of_high - of_low, smallest);
  const auto rounded = [&](float value) {
    const volatile float quotient = value * (1 / scale);
    return static_cast<int>(std::lrint(static_cast<double>(quotient)));
  };
  const auto count = static_cast<std::ptrdiff_t>(x.size());
  const RowRange range = RowRange::of(x.data(), count);
  bool right = check(range.scale == scale && range.zero == -rounded(low), "the range of a row");
  right &= check(range.zero >= 0 && range.zero <= 255, "0 is exact");
  std::vector<Integer> q(x.size() + 1, Integer{99});
  quantise(x.data(), count, range, q.data());
  bool elements = q.back() == Integer{99};
  for (std::size_t i = 0; i < x.size(); ++i) {
    const int expected = std::min(rounded(x[i]) + range.zero, 255);
    elements &= expected >= 0 && q[i] == expected;
    // one step where the largest element is rounded up beyond 255
    const double error =
        std::abs(static_cast<double>(x[i]) / static_cast<double>(scale) - (q[i] - range.zero));
    elements &= error <= (q[i] == 255 ? 1.0 : 0.5) + 1e-4;
  }
  return check(elements, "elements are rounded to the nearest step") && right;
}

void rows_of_every_length() {
  for (std::ptrdiff_t count = 0; count <= 67; ++count) {
    RandomNumbers random(static_cast<std::uint64_t>(count));
    for (const double shift : {0.0, 3.0, -3.0}) {  // of both signs, and of one
      std::vector<float> x(static_cast<std::size_t>(count));
      for (float& value : x) value = static_cast<float>(random.between(-1, 1) + shift);
      is_quantised<std::uint8_t>(x);
      is_quantised<std::int16_t>(x);
    }
  }
}

void ties_are_rounded_to_even() {
  // the scale is 1
  std::vector<float> x(41, 0.0f);
  for (int i = 0; i < 40; ++i) x[static_cast<std::size_t>(i)] = static_cast<float>(i) - 20 + 0.5f;
  x[40] = 255 - 20 + 0.5f;
  x[0] = -19.5f;
  is_quantised<std::uint8_t>(x);
  // the sum of the two rounded ends is 256
  is_quantised<std::uint8_t>({-127.5f, 127.5f, 1.0f});
}

void extreme_rows() {
  for (const std::size_t count : {1u, 16u, 37u}) {
    for (const float value :
         {0.0f, -0.0f, 1e-45f, -1e-45f, smallest, 300 * smallest, 1.0f, -5.0f, largest, -largest}) {
      is_quantised<std::uint8_t>(std::vector<float>(count, value));
      std::vector<float> mixed(count, value);
      mixed[count / 2] = -value;
      mixed[0] = value / 3;
      is_quantised<std::uint8_t>(mixed);
    }
  }
}

void rows_that_are_not_finite() {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), infinity, -infinity}) {
    for (std::size_t place = 0; place < 37; ++place) {
      std::vector<float> x(37, 0.5f);
      x[place] = value;
      const RowRange range = RowRange::of(x.data(), 37);
      std::vector<std::uint8_t> q(37, 99);
      quantise(x.data(), 37, range, q.data());
      bool zeros = range.zero == 0;
      for (const std::uint8_t one : q) zeros &= one == 0;
      check(std::isnan(range.scale) && zeros, "a row that is not finite has the scale NaN");
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::rows_of_every_length();
  heedful::ties_are_rounded_to_even();
  heedful::extreme_rows();
  heedful::rows_that_are_not_finite();
  return heedful::summary();
}
