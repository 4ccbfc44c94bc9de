#include "layers/cross_entropy.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "arrays/row_loop.hpp"
#include "simd/exp.hpp"

namespace heedful {
namespace {

template <class T, class Value>
Value exp_of(const Value& value) {
  if constexpr (std::is_same_v<Value, T>) {
    return std::exp(value);
  } else {
    return simd::exp<T>(value);
  }
}

// A NaN may be missed here: it reappears in the sum.
template <class T>
T maximum_of(const T* row, std::ptrdiff_t count) {
  T maximum = -std::numeric_limits<T>::infinity();
  auto vector = simd::broadcast(maximum);
  std::ptrdiff_t i = 0;
  for (; i + simd::lanes<T> <= count; i += simd::lanes<T>) {
    vector = simd::maximum(vector, simd::load(row + i));
  }
  for (; i < count; ++i) maximum = std::max(maximum, row[i]);
  return std::max(maximum, simd::max_lane(vector));
}

template <class T>
T row_loss(const CrossEntropy<T>& problem, const T* logits, std::int64_t label, T* dlogits) {
  const std::ptrdiff_t classes = problem.classes;
  const T smoothing = problem.smoothing;
  const T maximum = maximum_of(logits, classes);
  const T of_label =
      logits[label] - maximum;  // read before dlogits, which may be logits, is written
  T mean = 0;
  if (smoothing != 0) {
    mean = sum_elements<T>(
               classes, [&](auto at) { return simd::subtract(at.load(logits), at.all(maximum)); }) /
           static_cast<T>(classes);
  }
  const T sum = sum_elements<T>(classes, [&](auto at) {
    const auto power = exp_of<T>(simd::subtract(at.load(logits), at.all(maximum)));
    if (dlogits) at.store(dlogits, power);
    return power;
  });
  if (dlogits) {
    const T scale = problem.factor / sum;
    const T smoothed = problem.factor * smoothing / static_cast<T>(classes);
    for_each_element<T>(classes, [&](auto at) {
      const auto gradient = simd::multiply(at.load(dlogits), at.all(scale));
      at.store(dlogits, simd::subtract(gradient, at.all(smoothed)));
    });
    dlogits[label] -= problem.factor * (1 - smoothing);
  }
  const T smooth = smoothing != 0 ? smoothing * mean : T{0};
  return std::log(sum) - (1 - smoothing) * of_label - smooth;
}

}  // namespace

template <class T>
void cross_entropy(const CrossEntropy<T>& problem, Matrix<const T> logits, T* losses,
                   Matrix<T> dlogits, const Team& team) {
  const std::ptrdiff_t task_rows =
      std::clamp<std::ptrdiff_t>(16384 / std::max<std::ptrdiff_t>(problem.classes, 1), 1, 1024);
  const std::ptrdiff_t tasks = (problem.rows + task_rows - 1) / task_rows;
  parallel_for(tasks, threads_for(cost_of(problem), team), 0, [&](std::ptrdiff_t task, Worker&) {
    const std::ptrdiff_t end = std::min((task + 1) * task_rows, problem.rows);
    for (std::ptrdiff_t row = task * task_rows; row < end; ++row) {
      T* const gradient = dlogits ? dlogits.row(row) : nullptr;
      if (problem.labels[row] == problem.ignored) {
        losses[row] = 0;
        if (gradient) std::fill_n(gradient, problem.classes, T{0});
      } else {
        losses[row] = row_loss(problem, logits.row(row), problem.labels[row], gradient);
      }
    }
  });
}

template void cross_entropy(const CrossEntropy<float>&, Matrix<const float>, float*, Matrix<float>,
                            const Team&);
template void cross_entropy(const CrossEntropy<double>&, Matrix<const double>, double*,
                            Matrix<double>, const Team&);

}  // namespace heedful
