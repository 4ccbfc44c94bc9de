// Products of int8 in int32, exact modulo 2^32: a register block of C = A B like that of
// micro_kernel.hpp, with words of several elements of the depth instead of elements.
//
//   A (rows, words)    words, broadcast in place:   a + row · a_row + 4 · word, in bytes
//   B (words, V · W)   vectors of words:            b[word · V · W + lane]
//   C (rows, V · W)    vectors of sums:             c[row · V · W + lane]
//
//   widened              a word is two int16
//   vnni                 a word of A is four int8, one of B four uint8
//   bytes                the same, where A is split (split_words.hpp)
//   tiles, tiles_model   both are four int8; words and lanes fill tiles: a multiple of 16 words
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/split_words.hpp"
#include "simd/int8_ways.hpp"

namespace heedful {

struct WordProduct {
  std::ptrdiff_t rows, words;
  int vectors;  // V: 1 to max_vectors
  const std::byte* a;
  std::ptrdiff_t a_row;  // in bytes
  const std::uint32_t* b;
  std::int32_t* c;
  // words of A's row i that are multiplied, too: extra[begins[i]] up to extra[begins[i + 1]]
  const ExtraWord* extra = nullptr;
  const std::int64_t* begins = nullptr;
};

void multiply(simd::Int8Way way, const WordProduct& product);

}  // namespace heedful
