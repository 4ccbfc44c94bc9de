// A part of a row of the bias as numbers T, in the unit of the scores. Finite is not hidden: what T
// cannot hold counts as nearly its largest number, which leaves room for the score it is added to.
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>

#include "attention/pack.hpp"
#include "attention/tensor_view.hpp"

namespace heedful {

template <class T>
void read_bias(const TensorView& bias, const char* from, double unit, T* to, std::ptrdiff_t count) {
  constexpr double largest = std::numeric_limits<T>::max(), limit = largest - largest / 256;
  if (sizeof(T) < sizeof(double) && bias.type == ElementType::float64) {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      const double value = *reinterpret_cast<const double*>(from + i * bias.column_stride) * unit;
      const double within = value > limit ? limit : value < -limit ? -limit : value;
      to[i] = static_cast<T>(std::isinf(value) ? value : within);
    }
    return;
  }
  read_row(from, bias.type, bias.column_stride, to, count);
  if (unit == 1) return;
  for (std::ptrdiff_t i = 0; i < count; ++i) to[i] *= static_cast<T>(unit);
}

}  // namespace heedful
