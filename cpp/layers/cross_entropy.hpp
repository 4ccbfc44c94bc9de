// Softmax cross-entropy of rows of logits z against one label each, and its gradient:
//   loss = lse(z) − (1 − s) z[label] − s mean(z)                     s: label smoothing
//   dz   = factor · (softmax(z) − (1 − s) [class = label] − s / C)
//   logits, dlogits (N, C)   labels, losses (N)
// Rows whose label is `ignored` have loss 0 and gradient 0. dlogits may be logits, or none.
#pragma once

#include <cstdint>

#include "arrays/matrix.hpp"
#include "parallel/cost.hpp"

namespace heedful {

template <class T>
struct CrossEntropy {
  std::ptrdiff_t rows, classes;  // N, C
  const std::int64_t* labels;
  std::int64_t ignored;
  T smoothing, factor;
};

// Every logit is read at least twice.
template <class T>
Cost cost_of(const CrossEntropy<T>& problem) {
  return Cost::of_elements(2 * static_cast<double>(problem.rows) *
                           static_cast<double>(problem.classes));
}

template <class T>
void cross_entropy(const CrossEntropy<T>& problem, Matrix<const T> logits, T* losses,
                   Matrix<T> dlogits, const Team& team);

}  // namespace heedful
