// A weight that is multiplied at every step, packed once: strips of columns of B (depth, columns),
// of up to three vectors each, in the order in which the micro-kernel reads them. Every sum is
// computed one depth block after the other, as in linear/, however rows and columns are divided.
#pragma once

#include <cstddef>

#include "arrays/matrix.hpp"
#include "linear/panels.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

template <class T>
struct PackedWeight {
  std::ptrdiff_t depth = 0, columns = 0;
  const T* data = nullptr;

  Panels<T> strips() const { return Panels<T>(columns); }

  // Elements of memory that it takes.
  static std::ptrdiff_t size(std::ptrdiff_t depth, std::ptrdiff_t columns) {
    return depth * padded<T>(columns);
  }

  // Packs B, b[k][column], or transposed b[column][k], into memory of this size.
  static PackedWeight pack(Matrix<const T> b, bool transposed, std::ptrdiff_t depth,
                           std::ptrdiff_t columns, const Team& team, T* memory);

  // sums[row][lane] = or += Σ_k a[row][k] · B[k][column] over the columns of a strip, in full
  // vectors: padding lanes hold sums that mean nothing.
  void multiply(std::ptrdiff_t strip, Matrix<const T> a, std::ptrdiff_t rows, bool accumulate,
                T* sums) const;
};

}  // namespace heedful
