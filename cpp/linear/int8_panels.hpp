// Rows of activations, quantised and packed in the order in which the kernels of int8 read them:
//   panel   [word][lane]   up to three vectors of rows side by side; panels one after the other
// with the words of the way in which they are multiplied: four uint8, two int16, or for tiles four
// int8 (q − 128).
#pragma once

#include <cstddef>
#include <cstdint>

#include "arrays/matrix.hpp"
#include "linear/panels.hpp"
#include "parallel/parallel_for.hpp"
#include "simd/int8_ways.hpp"

namespace heedful {

// Words of a row of this depth, of which the last are filled with zeros.
std::ptrdiff_t words_of(simd::Int8Way way, std::ptrdiff_t depth);

struct Int8Panels {
  Panels<float> layout;  // of the rows
  std::ptrdiff_t words;  // of a row
  std::uint32_t* data;   // (words · rows, padded to full vectors)
  // (rows, padded): x ≈ scale · (q − zero), q being what the panels hold; 0 for padding lanes
  float* scales;
  std::int32_t* zeros;

  const std::uint32_t* panel(std::ptrdiff_t index) const {
    return data + words * layout.begin(index);
  }
};

// Quantises and packs x (rows, depth) on all threads of a team.
void pack_int8(Matrix<const float> x, std::ptrdiff_t depth, simd::Int8Way way, const Team& team,
               const Int8Panels& panels);

}  // namespace heedful
