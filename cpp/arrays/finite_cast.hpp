// Numbers given as double, in the type that is computed in: finite stays finite. What the type
// cannot hold counts as its largest number.
#pragma once

#include <cmath>
#include <limits>

namespace heedful {

template <class T>
T finite_cast(double number, double limit = std::numeric_limits<T>::max()) {
  if (std::isfinite(number)) {
    number = number > limit ? limit : number < -limit ? -limit : number;
  }
  return static_cast<T>(number);
}

}  // namespace heedful
