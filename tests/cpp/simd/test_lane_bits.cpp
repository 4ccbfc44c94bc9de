// Words of bits, one per lane of a vector: how they are computed, and what they select.
#include <vector>

#include "check.hpp"
#include "random_numbers.hpp"
#include "simd/lane_bits.hpp"

namespace heedful {
namespace {

template <class T>
void zeros_are_the_bytes_that_are_zero() {
  RandomNumbers random(1);
  for (const std::ptrdiff_t stride : {1, 3, -1, 0}) {
    for (std::ptrdiff_t count = 1; count <= simd::bits<T>; ++count) {
      std::vector<char> bytes(3 * simd::bits<T>);
      for (char& byte : bytes) byte = static_cast<char>(random.bits() % 3 * 100);
      const char* const from = bytes.data() + (stride < 0 ? count - 1 : 0);
      const simd::Bits<T> word = simd::zeros<T>(from, stride, count);
      bool right = true;
      for (int i = 0; i < simd::bits<T>; ++i) {
        right &= (word >> i & 1) == (i < count && from[i * stride] == 0);
      }
      check(right, "bit i is set if byte i is zero, and none past the last");
    }
  }
}

template <class T>
void a_range_of_bits_is_found() {
  RandomNumbers random(3);
  unsigned char drawn[3 * simd::bits<T> / 8];
  for (unsigned char& byte : drawn) byte = static_cast<unsigned char>(random.bits());
  for (std::ptrdiff_t first = 0; first < 2 * simd::bits<T>; ++first) {
    for (std::ptrdiff_t count = 1; count <= simd::bits<T>; ++count) {
      // as many bytes as the range reaches: the address sanitizer sees one that is read past them
      const std::vector<unsigned char> bytes(drawn, drawn + (first + count + 7) / 8);
      const simd::Bits<T> word = simd::bits_at<T>(bytes.data(), first, count);
      bool right = true;
      for (std::ptrdiff_t i = 0; i < simd::bits<T>; ++i) {
        const std::ptrdiff_t bit = first + i;
        right &= (word >> i & 1) ==
                 (i < count ? bytes[static_cast<std::size_t>(bit / 8)] >> bit % 8 & 1u : 0u);
      }
      check(right, "bit i is bit first + i, and none past the last");
    }
  }
}

template <class T>
void lanes_select_by_their_bits() {
  RandomNumbers random(2);
  constexpr int width = simd::lanes<T>;
  simd::Bits<T> words[width];
  for (auto& word : words) word = static_cast<simd::Bits<T>>(random.bits() * 0x9E3779B97F4A7C15u);
  for (int last = 0; last < simd::bits<T>; ++last) {
    simd::LaneBits<T> bits(words, last);
    for (int bit = last; bit >= 0; --bit) {
      T chosen[width];
      simd::store(chosen, bits.select(simd::broadcast(T(7)), simd::broadcast(T(-2))));
      bits.step();
      bool right = true;
      for (int lane = 0; lane < width; ++lane) {
        right &= chosen[lane] == ((words[lane] >> bit & 1) != 0 ? T(7) : T(-2));
      }
      check(right, "from the last bit to the first");
    }
  }
}

template <class T>
void everything() {
  zeros_are_the_bytes_that_are_zero<T>();
  a_range_of_bits_is_found<T>();
  lanes_select_by_their_bits<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
