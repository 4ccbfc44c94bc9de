// Random matrices for tests: rows with gaps of NaN between them, so that reads and writes between
// rows are detected.
#pragma once

#include <cmath>
#include <limits>
#include <vector>

#include "arrays/matrix.hpp"
#include "random_numbers.hpp"

namespace heedful {

template <class T>
struct GappedMatrix {
  std::ptrdiff_t rows, columns, stride;
  std::vector<T> data;

  GappedMatrix(std::ptrdiff_t rows_, std::ptrdiff_t columns_, std::uint64_t seed,
               std::ptrdiff_t gap = 3)
      : rows(rows_),
        columns(columns_),
        stride(columns_ + gap),
        data(static_cast<std::size_t>(rows_ * (columns_ + gap) + 1),
             std::numeric_limits<T>::quiet_NaN()) {
    RandomNumbers random(seed);
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      for (std::ptrdiff_t column = 0; column < columns; ++column) {
        at(row, column) = static_cast<T>(random.between(-1, 1));
      }
    }
  }

  T& at(std::ptrdiff_t row, std::ptrdiff_t column) {
    return data[static_cast<std::size_t>(row * stride + column)];
  }
  const T& at(std::ptrdiff_t row, std::ptrdiff_t column) const {
    return data[static_cast<std::size_t>(row * stride + column)];
  }
  Matrix<T> view() { return {data.data(), stride}; }
  Matrix<const T> view() const { return {data.data(), stride}; }

  // Whether the gaps between the rows are unchanged.
  bool gaps_are_untouched() const {
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      for (std::ptrdiff_t column = columns; column < stride; ++column) {
        if (!std::isnan(at(row, column))) return false;
      }
    }
    return std::isnan(data.back());
  }
};

// Σ_k left(k) · right(k), and its size for the bound of the rounding error.
struct Sum {
  double value = 0, size = 0;

  void add(double left, double right) {
    exact += static_cast<long double>(left) * right;
    value = static_cast<double>(exact);
    size += std::abs(left * right);
  }

 private:
  long double exact = 0;
};

template <class T>
double rounding(const Sum& sum, std::ptrdiff_t terms) {
  return 2 * std::numeric_limits<T>::epsilon() *
         (sum.size + std::sqrt(static_cast<double>(terms)) + 4);
}

}  // namespace heedful
