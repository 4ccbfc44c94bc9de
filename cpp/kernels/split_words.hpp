// Rows of int8 weights as two summands, so that products of bytes are exact without VNNI: the sums
// of two products with uint8 saturate at 16 bits (dot_bytes in integer_dots.hpp), unless the two
// weights add up to at most 128 in magnitude. Where they do not, the second is set apart:
//   w = main + extra        main: words of four int8, whose pairs fit
//                           extra: few words, each with its place, whose pairs fit, too
// Of weights of a normal distribution quantised by their maximum one word in thirty is set apart;
// of trained layers, whose maximum is further out, fewer.
#pragma once

#include <cstddef>
#include <cstdint>

namespace heedful {

struct ExtraWord {
  std::uint32_t place, word;
};

// Splits a row of `count` elements into words that end in zeros: main (words). Writes the words
// that are set apart to extra, at most all, and returns the end of them.
ExtraWord* split_words(const std::int8_t* row, std::ptrdiff_t count, std::ptrdiff_t words,
                       std::byte* main, ExtraWord* extra);

}  // namespace heedful
