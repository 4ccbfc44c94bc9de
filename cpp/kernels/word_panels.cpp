#include "kernels/word_panels.hpp"

#include <cstring>

#include "simd/packet.hpp"
#include "simd/words.hpp"

namespace heedful {

void words_to_panel(const std::uint16_t* const* rows, std::ptrdiff_t lanes, std::ptrdiff_t words,
                    std::uint32_t* panel) {
  constexpr std::ptrdiff_t width = simd::lanes<float>;
  for (std::ptrdiff_t lane = 0; lane < lanes; lane += width) {
    if (words < width) {
      for (std::ptrdiff_t l = lane; l < lane + width; ++l) {
        for (std::ptrdiff_t word = 0; word < words; ++word) {
          std::memcpy(panel + word * lanes + l, rows[l] + 2 * word, sizeof(*panel));
        }
      }
      continue;
    }
    for (std::ptrdiff_t word = 0; word < words; word += width) {
      // the last square overlaps the one before; a word is moved like a float
      const std::ptrdiff_t begin = word + width <= words ? word : words - width;
      simd::Square<float> square;
#pragma GCC unroll 16
      for (std::ptrdiff_t i = 0; i < width; ++i) {
        square.packet[i] =
            simd::bits_as<simd::Packet<float>>(simd::load_words(rows[lane + i] + 2 * begin));
      }
      simd::transpose<float>(square);
#pragma GCC unroll 16
      for (std::ptrdiff_t i = 0; i < width; ++i) {
        simd::store_words(panel + (begin + i) * lanes + lane,
                          simd::bits_as<simd::Words>(square.packet[i]));
      }
    }
  }
}

}  // namespace heedful
