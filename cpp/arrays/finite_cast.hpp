// Conversion of a double to the computing type that keeps finite values finite: values outside the
// range of the type are clamped to its largest number.
#pragma once

#include <cmath>
#include <limits>

namespace heedful {

template <class T>
T finite_cast(double value, double limit = std::numeric_limits<T>::max()) {
  if (std::isfinite(value)) {
    value = value > limit ? limit : value < -limit ? -limit : value;
  }
  return static_cast<T>(value);
}

}  // namespace heedful
