// −∞, the score of a hidden key.
#pragma once

#include <limits>

namespace heedful {

template <class T>
inline constexpr T minus_infinity = -std::numeric_limits<T>::infinity();

}  // namespace heedful
