// Elements of a row of the bias as T, in the unit of the scores. Finite elements do not hide: those
// beyond the range of T become its largest finite number.
#pragma once

#include <cstddef>

#include "arrays/finite_cast.hpp"
#include "arrays/rows.hpp"
#include "arrays/tensor_view.hpp"

namespace heedful {

template <class T>
void read_bias(const TensorView& bias, const char* from, double unit, T* to, std::ptrdiff_t count) {
  if (sizeof(T) < sizeof(double) && bias.type == ElementType::float64) {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      to[i] =
          finite_cast<T>(*reinterpret_cast<const double*>(from + i * bias.column_stride) * unit);
    }
    return;
  }
  read_row(from, bias.type, bias.column_stride, to, count);
  if (unit == 1) return;
  for (std::ptrdiff_t i = 0; i < count; ++i) to[i] *= static_cast<T>(unit);
}

}  // namespace heedful
