// Weighted means of values whose weighted sum overflows, computed from values scaled down by a
// power of two. See forward/overflow.hpp.
#pragma once

#include <cmath>
#include <limits>

#include "arrays/tensor_view.hpp"

namespace heedful {

// Headroom for a sum of 2^64 values. A value below 2^−64 times the largest one loses less than the
// rounding of the sum.
template <class T>
inline constexpr T value_scale = T(1) / T(18446744073709551616.0);

// Undoes the scaling of a mean. Rounding may take it past `largest`, the largest finite number of
// the type of the values: it is clamped, unless dropout may have made it larger than they are.
template <class T>
T unscaled_mean(T scaled, T largest, bool clamp) {
  const T mean = scaled / value_scale<T>;
  if (!clamp || !std::isfinite(scaled) || std::abs(mean) <= largest) return mean;
  return mean < 0 ? -largest : largest;
}

// The largest finite number of a type, as T.
template <class T>
T largest_finite(ElementType type) {
  if (type == ElementType::float16) return T(65504);
  if (type == ElementType::bfloat16) return T(3.3895313892515355e38);
  if (type == ElementType::float32) return static_cast<T>(std::numeric_limits<float>::max());
  return std::numeric_limits<T>::max();
}

}  // namespace heedful
