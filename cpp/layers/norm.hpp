// Normalization of rows:
//   layer norm   y = (x − mean) · rstd · weight + bias    rstd = 1 / √(mean((x − mean)²) + epsilon)
//   RMS norm     the same with mean = 0, without the array mean
//   x, y, dy, dx (N, D)   weight, bias, dweight, dbias (D) or none   mean, rstd (N)
//
// With x̂ = (x − mean) · rstd and g = dy · weight:
//   dx = rstd · (g − mean(g) − x̂ · mean(g x̂)), without mean(g) for RMS norm
//   dweight += Σ_n dy x̂      dbias += Σ_n dy
// y may be x, and dx may be dy. Sums over n are computed by ranges of rows that depend on N alone,
// and added in their order: the same bits for any number of threads.
#pragma once

#include "arrays/matrix.hpp"
#include "parallel/cost.hpp"

namespace heedful {

template <class T>
struct Norm {
  std::ptrdiff_t rows, columns;  // N, D
  const T* weight;
  T epsilon;
};

template <class T>
Cost cost_of(const Norm<T>& norm) {
  return Cost::of_elements(static_cast<double>(norm.rows) * static_cast<double>(norm.columns));
}

template <class T>
void norm_forward(const Norm<T>& norm, Matrix<const T> x, const T* bias, Matrix<T> y, T* mean,
                  T* rstd, const Team& team);

template <class T>
void norm_backward(const Norm<T>& norm, Matrix<const T> dy, Matrix<const T> x, const T* mean,
                   const T* rstd, Matrix<T> dx, T* dweight, T* dbias, const Team& team);

}  // namespace heedful
