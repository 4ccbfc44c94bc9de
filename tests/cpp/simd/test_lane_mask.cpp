// Comparisons as bits, the pairs that they select, and the order of numbers as integers.
#include <algorithm>
#include <limits>
#include <vector>

#include "check.hpp"
#include "simd/compress.hpp"
#include "simd/float_order.hpp"
#include "simd/lane_mask.hpp"

namespace heedful {
namespace {

template <class T>
std::vector<T> special_numbers() {
  using Limits = std::numeric_limits<T>;
  return {-Limits::infinity(),  -Limits::max(),        T(-1.5), T(-1),
          -Limits::min(),       -Limits::denorm_min(), T(-0.0), T(0),
          Limits::denorm_min(), Limits::min(),         T(1),    T(1.5),
          Limits::max(),        Limits::infinity()};
}

template <class T>
void bits_say_where_a_number_is_above_or_nan() {
  std::vector<T> numbers = special_numbers<T>();
  numbers.push_back(std::numeric_limits<T>::quiet_NaN());
  for (const T a : numbers) {
    for (const T b : numbers) {
      for (int lane = 0; lane < simd::lanes<T>; ++lane) {
        T elements[simd::lanes<T>];
        std::fill_n(elements, simd::lanes<T>, -std::numeric_limits<T>::infinity());
        elements[lane] = a;
        const auto others = simd::broadcast(b);
        const simd::LaneMask mask = simd::above_or_nan(simd::load(elements), others);
        const bool own = !(a <= b), rest = b != b;
        bool right = true;
        for (int i = 0; i < simd::lanes<T>; ++i) {
          right &= ((mask >> i & 1) != 0) == (i == lane ? own : rest);
        }
        check(right && mask >> simd::lanes<T> == 0, "bit i is set where lane i is not a ≤ b");
      }
    }
  }
}

template <class T>
void integers_have_the_order_of_the_numbers() {
  const std::vector<T> numbers = special_numbers<T>();
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const T number = numbers[i];
    check(simd::number_of<T>(simd::order_of(number)) == number,
          "the number of its order is itself");
    if (i + 1 == numbers.size()) continue;
    check(simd::order_of(number) < simd::order_of(numbers[i + 1]), "they rise with the numbers");
    const T next = simd::number_of<T>(simd::order_of(number) + 1);
    check(number == 0 || next > number, "consecutive integers are consecutive numbers");
  }
}

// In place, as a list is compacted.
template <class T>
void selected_pairs_are_side_by_side() {
  constexpr int width = simd::lanes<T>;
  for (simd::LaneMask mask = 0; mask < 1u << std::min(width, 8); ++mask) {
    const simd::LaneMask selected = mask * 0x0101 & ((1u << width) - 1);
    T numbers[width + 3];
    std::int32_t integers[width + 3];
    for (int i = 0; i < width + 3; ++i) numbers[i] = T(i), integers[i] = 100 + i;
    const std::ptrdiff_t count = simd::compress_pairs<T>(simd::load(numbers + 3), integers + 3,
                                                         selected, numbers + 1, integers + 1);
    bool right = numbers[0] == 0 && integers[0] == 100;
    std::ptrdiff_t at = 1;
    for (int lane = 0; lane < width; ++lane) {
      if ((selected >> lane & 1) == 0) continue;
      right &= numbers[at] == T(3 + lane) && integers[at] == 103 + lane;
      ++at;
    }
    check(right && count == at - 1, "the pairs whose bit is set, in order, and their number");
  }
}

void middles_do_not_overflow() {
  const std::int32_t low = std::numeric_limits<std::int32_t>::min();
  const std::int32_t high = std::numeric_limits<std::int32_t>::max();
  check(simd::middle(low, high) == -1, "of the whole range");
  check(simd::middle(-3, -2) == -3, "rounded down");
  check(simd::middle(4, 9) == 6, "of positive numbers");
  check(simd::middle(high - 2, high) == high - 1, "of large numbers");
}

template <class T>
void everything() {
  bits_say_where_a_number_is_above_or_nan<T>();
  integers_have_the_order_of_the_numbers<T>();
  selected_pairs_are_side_by_side<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  heedful::middles_do_not_overflow();
  return heedful::summary();
}
