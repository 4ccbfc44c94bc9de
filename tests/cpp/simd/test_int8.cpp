// Integers of 8 bits: every value widened, at every place of a vector.
#include <cstdint>
#include <vector>

#include "check.hpp"
#include "simd/int8.hpp"

namespace heedful {
namespace {

void every_value_widens_to_itself() {
  constexpr int width = simd::lanes<float>;
  std::vector<simd::Int8> values(256 + width);
  for (std::size_t i = 0; i < values.size(); ++i) values[i].value = static_cast<std::int8_t>(i);
  bool right = true;
  for (int first = 0; first < 256; ++first) {
    float wide[width];
    simd::store(wide, simd::load(values.data() + first));
    for (int i = 0; i < width; ++i) {
      right &= wide[i] == static_cast<float>(values[static_cast<std::size_t>(first + i)].value);
    }
  }
  check(right, "each of the 256 values becomes the same float, in every lane");
}

void rows_of_any_length_are_widened() {
  for (std::ptrdiff_t count = 0; count <= 37; ++count) {
    const auto size = static_cast<std::size_t>(count);
    std::vector<simd::Int8> values(size);
    for (std::size_t i = 0; i < size; ++i) values[i].value = static_cast<std::int8_t>(7 * i - 100);
    std::vector<float> wide(size + 1, -5.0f);
    simd::convert_row(values.data(), wide.data(), count);
    bool right = wide.back() == -5.0f;
    for (std::size_t i = 0; i < size; ++i) right &= wide[i] == static_cast<float>(values[i].value);
    check(right, "exactly the given number of elements is converted");
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::every_value_widens_to_itself();
  heedful::rows_of_any_length_are_widened();
  return heedful::summary();
}
