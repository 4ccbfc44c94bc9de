// A row as vectors: full ones, and a last one that ends with the row and so overlaps the one
// before. Rows of any length are read in place, without a padded copy.
//
//   19 columns, 8 lanes      offset 0        offset 8         offset 11
//                            0 … 7           8 … 15           11 … 18, the first 5 repeated
//
// Only rows shorter than a vector have to be padded to one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "simd/packet.hpp"

namespace heedful {

template <class T>
struct RowVectors {
  static constexpr std::ptrdiff_t width = simd::lanes<T>;

  std::ptrdiff_t count;  // of vectors
  std::ptrdiff_t last;   // offset of the last one

  explicit RowVectors(std::ptrdiff_t columns)
      : count((columns + width - 1) / width), last(std::max<std::ptrdiff_t>(columns - width, 0)) {}

  std::ptrdiff_t offset(std::ptrdiff_t vector) const { return std::min(vector * width, last); }
  // Number of lanes of the last vector that are in the one before, too.
  std::ptrdiff_t repeated() const { return last > 0 ? (count - 1) * width - last : 0; }

  // Conversion between a row of `columns` and (count · width) elements, one vector after the other,
  // times a factor. The row is no shorter than a vector or padded to one.
  void spread(const T* row, T factor, T* vectors) const {
    const auto factors = simd::broadcast(factor);
    for (std::ptrdiff_t v = 0; v < count; ++v) {
      simd::store(vectors + v * width, simd::multiply(simd::load(row + offset(v)), factors));
    }
  }
  void join(const T* vectors, T factor, T* row) const {
    const auto factors = simd::broadcast(factor);
    for (std::ptrdiff_t v = 0; v < count; ++v) {
      simd::store(row + offset(v), simd::multiply(simd::load(vectors + v * width), factors));
    }
  }
};

}  // namespace heedful
