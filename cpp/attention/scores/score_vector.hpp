// The range of the score vector of additive attention: a score is at most Σ |score_vector|.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace heedful {

// The factor of a score vector (rows, columns) that keeps all scores finite; usually 1.
template <class T>
double score_vector_factor(const T* score_vector, std::ptrdiff_t rows, std::ptrdiff_t columns) {
  constexpr double headroom = 1.0 / (1 << 20);  // the sum in double must not overflow
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
