#include "kernels/split_words.hpp"

#include <cstring>

#include "simd/integer_dots.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t width = simd::lanes<float>;
typedef std::int16_t Int16 __attribute__((vector_size(4 * width)));

// The elements of w that are set apart.
simd::Words extra_of(const simd::Words& w) {
  const auto sums = simd::bits_as<Int16>(simd::add_pairs(w));
  const auto too_large = simd::bits_as<simd::Words>((sums > 128) | (sums < -128));
  return w & too_large & 0xff00ff00u;
}

// Of 64 words, with a bit for each that is set apart: a branch for each would be mispredicted.
std::uint64_t split_chunk(const void* from, std::byte* main, std::uint32_t* apart) {
  std::uint64_t bits = 0;
#pragma GCC unroll 16
  for (int word = 0; word < 64; word += width) {
    const simd::Words w = simd::load_words(static_cast<const std::byte*>(from) + 4 * word);
    const simd::Words extra = extra_of(w);
    simd::store_words(main + 4 * word, w ^ extra);
    simd::store_words(apart + word, extra);
    bits |= std::uint64_t{simd::nonzero_words(extra)} << word;
  }
  return bits;
}

}  // namespace

ExtraWord* split_words(const std::int8_t* row, std::ptrdiff_t count, std::ptrdiff_t words,
                       std::byte* main, ExtraWord* extra) {
  constexpr std::ptrdiff_t chunk = 64;  // words, a bit for each
  std::byte tail[4 * chunk], split_tail[4 * chunk];
  for (std::ptrdiff_t word = 0; word < words; word += chunk) {
    const bool whole = 4 * (word + chunk) <= count;
    const void* from = row + 4 * word;
    if (!whole) {
      const auto rest = static_cast<std::size_t>(count - 4 * word);
      std::memset(tail, 0, sizeof(tail));
      std::memcpy(tail, from, rest);
      from = tail;
    }
    std::uint32_t apart[chunk];
    std::uint64_t bits = split_chunk(from, whole ? main + 4 * word : split_tail, apart);
    if (!whole) {
      std::memcpy(main + 4 * word, split_tail, static_cast<std::size_t>(4 * (words - word)));
    }
    for (; bits != 0; bits &= bits - 1) {
      const int i = __builtin_ctzll(bits);
      *extra++ = {static_cast<std::uint32_t>(word + i), apart[i]};
    }
  }
  return extra;
}

}  // namespace heedful
