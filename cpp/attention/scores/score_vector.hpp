// The weight of additive attention is its scale: a score is at most Σ |weight|.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace heedful {

// 1, or what a weight (rows, columns) has to be multiplied by so that no score passes the largest
// number.
template <class T>
double score_vector_factor(const T* score_vector, std::ptrdiff_t rows, std::ptrdiff_t columns) {
  constexpr double headroom = 1.0 / (1 << 20);  // a sum of doubles shall not overflow here
  double largest = 0;
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    double sum = 0;
    for (std::ptrdiff_t column = 0; column < columns; ++column) {
      sum += headroom * std::abs(static_cast<double>(score_vector[row * columns + column]));
    }
    largest = std::max(largest, sum);
  }
  const double limit = 0.99 * headroom * static_cast<double>(std::numeric_limits<T>::max());
  return largest <= limit || !std::isfinite(largest) ? 1 : limit / largest;
}

}  // namespace heedful
