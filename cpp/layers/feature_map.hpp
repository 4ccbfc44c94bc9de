// The feature map of linear attention and its derivative, on rows of scratch memory:
//   φ(x) = elu(x) + 1      x + 1 above 0, e^x below
//   φ′(x) = min(φ(x), 1)
// NaN stays NaN.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/matrix.hpp"
#include "simd/exp.hpp"
#include "simd/packet.hpp"

namespace heedful {

// x = φ(x) in the first `columns` of each row; zeros in the padding.
template <class T>
void apply_feature_map(std::ptrdiff_t count, std::ptrdiff_t columns, Matrix<T> x) {
  const auto zero = simd::broadcast(T{0});
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    T* const row = x.row(i);
    for (std::ptrdiff_t column = 0; column < x.stride; column += simd::lanes<T>) {
      const auto value = simd::load(row + column);
      simd::store(row + column,
                  simd::add(simd::maximum(value, zero), simd::exp<T>(simd::minimum(value, zero))));
    }
    std::fill(row + columns, row + x.stride, T{0});
  }
}

// gradient = gradient · φ′, from φ(x).
template <class T>
void feature_gradient(std::ptrdiff_t count, Matrix<T> features, Matrix<T> gradient) {
  const auto one = simd::broadcast(T{1});
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    T* const row = gradient.row(i);
    for (std::ptrdiff_t column = 0; column < gradient.stride; column += simd::lanes<T>) {
      const auto derivative = simd::minimum(simd::load(features.row(i) + column), one);
      simd::store(row + column, simd::multiply(simd::load(row + column), derivative));
    }
  }
}

}  // namespace heedful
