// Products of int8 in int32, exact modulo 2^32: a register block of C = A B like that of
// micro_kernel.hpp, with words of several elements of the depth instead of elements.
//
//   A (rows, words)    words, broadcast in place:   a + row · a_row + 4 · word, in bytes
//   B (words, V · W)   vectors of words:            b[word · V · W + lane]
//   C (rows, V · W)    vectors of sums:             c[row · V · W + lane]
//
//   widened              a word is two int16
//   vnni                 a word of A is four int8, one of B four uint8
//   tiles, tiles_model   both are four int8; words and lanes fill tiles: a multiple of 16 words
//
// Without VNNI bytes could also be multiplied in place (vpmaddubsw), but the sums of two products
// saturate at 16 bits, unless one factor has 7 bits at most. All processors would have to use 7
// bits to give the same results.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/int8_ways.hpp"

namespace heedful {

struct WordProduct {
  std::ptrdiff_t rows, words;
  int vectors;  // V: 1 to max_vectors
  const std::byte* a;
  std::ptrdiff_t a_row;  // in bytes
  const std::uint32_t* b;
  std::int32_t* c;
};

void multiply(simd::Int8Way way, const WordProduct& product);

}  // namespace heedful
