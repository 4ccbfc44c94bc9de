// A weight of int8 that is split (kernels/split_words.hpp) once for all calls:
//   main (Out, words of a row)     begins (Out + 1): words [begins[o], begins[o + 1]) of `extra`
//                                  belong to row o
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "arrays/matrix.hpp"
#include "kernels/split_words.hpp"

namespace heedful {

struct Int8Split {
  Matrix<const std::byte> main;
  const std::int64_t* begins = nullptr;
  const ExtraWord* extra = nullptr;

  explicit operator bool() const { return begins != nullptr; }
};

// Whether products of bytes save more time than those of what is set apart take: while that is at
// most one word in ten of a sample of rows. (Of a uniform distribution it is four in ten.) Always
// where that way is forced.
bool gains_by_split(Matrix<const std::int8_t> weight, std::ptrdiff_t outputs,
                    std::ptrdiff_t inputs);

// The bytes of a row of main.
std::ptrdiff_t split_row_bytes(std::ptrdiff_t inputs);

// Writes main and begins; returns extra.
std::vector<ExtraWord> split_weight(Matrix<const std::int8_t> weight, std::ptrdiff_t outputs,
                                    std::ptrdiff_t inputs, Matrix<std::byte> main,
                                    std::int64_t* begins);

}  // namespace heedful
