// Distance of a result from the true value, in units in the last place of the true value.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

namespace heedful {

template <class T>
double ulps(T actual, long double expected) {
  const int exponent = expected == 0 ? -100000 : std::ilogb(expected);
  const int min_exponent = std::numeric_limits<T>::min_exponent - 1;  // of normal numbers
  const int unit_exponent = std::max(exponent, min_exponent) - (std::numeric_limits<T>::digits - 1);
  const long double distance = std::abs(static_cast<long double>(actual) - expected);
  return static_cast<double>(std::ldexp(distance, -unit_exponent));
}

}  // namespace heedful
