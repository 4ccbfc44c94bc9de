// Dot products of few quantised rows with many rows of int8, in int32, exact modulo 2^32, with the
// lanes over the depth:
//   sums[row][output] = Σ_k q[row][k] · weight[output][k]
// The weight is read in memory order, as dot_kernel.hpp reads keys.
//
//   dot_bytes   q is uint8; only where simd::has_vnni()
//   dot_int16   q is int16, and the weight is widened in registers
#pragma once

#include <cstddef>
#include <cstdint>

#include "arrays/matrix.hpp"
#include "simd/packet.hpp"

namespace heedful {

// Elements of a vector of words, for q of `bytes` each.
inline constexpr std::ptrdiff_t dot_elements(int bytes) { return 4 * simd::lanes<float> / bytes; }

// Rows that are multiplied together, at most: q has room for a multiple of them.
inline constexpr int dot_block_rows = simd::registers >= 32 ? 8 : 4;

// A row as vectors of `elements`: full ones, and a last one that ends with the row and overlaps the
// one before, as in row_vectors.hpp. The row is no shorter than a vector.
struct DotVectors {
  std::ptrdiff_t elements, count, last;

  DotVectors(std::ptrdiff_t depth, std::ptrdiff_t elements_)
      : elements(elements_), count((depth + elements_ - 1) / elements_), last(depth - elements_) {}

  std::ptrdiff_t size() const { return count * elements; }
  // Elements of the last vector that are in the one before, too.
  std::ptrdiff_t repeated() const { return (count - 1) * elements - last; }
};

// q (rows, vectors.size()), the last vector with zeros for what is repeated
// weight (count, depth)   sums (rows, sum_stride)
template <class Q>
struct Int8Dots {
  const Q* q;
  std::ptrdiff_t rows;
  DotVectors vectors;
  Matrix<const std::int8_t> weight;
  std::ptrdiff_t count;
  std::ptrdiff_t prefetch_rows;  // how many rows of the weight ahead are prefetched
  std::int32_t* sums;
  std::ptrdiff_t sum_stride;
};

void dot_bytes(const Int8Dots<std::uint8_t>& dots);
void dot_int16(const Int8Dots<std::int16_t>& dots);

}  // namespace heedful
