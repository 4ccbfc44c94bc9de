#include "layers/adam.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "arrays/element_ranges.hpp"

namespace heedful {
namespace {

// Simple enough for the compiler to vectorize it.
template <class T>
void step_elements(const AdamStep& options, std::ptrdiff_t count, T* __restrict parameter,
                   const T* __restrict gradient, T* __restrict first, T* __restrict second) {
  const T step = static_cast<T>(options.step), root = static_cast<T>(options.root);
  const T beta1 = static_cast<T>(options.beta1),
          one_minus_beta1 = static_cast<T>(1 - options.beta1);
  const T beta2 = static_cast<T>(options.beta2),
          one_minus_beta2 = static_cast<T>(1 - options.beta2);
  // smaller gradients have a square of 0: with a smaller epsilon, 0 / 0 would be NaN
  static const T min_epsilon = std::sqrt(std::numeric_limits<T>::min());
  const T epsilon = std::max(static_cast<T>(options.epsilon), min_epsilon),
          keep = static_cast<T>(options.keep);
  const T decay = static_cast<T>(options.coupled_decay);
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const T g = gradient[i] + decay * parameter[i];
    const T mean = beta1 * first[i] + one_minus_beta1 * g;
    const T square = beta2 * second[i] + one_minus_beta2 * g * g;
    first[i] = mean;
    second[i] = square;
    parameter[i] = parameter[i] * keep - step * mean / (std::sqrt(square) * root + epsilon);
  }
}

}  // namespace

template <class T>
void adam_step(const AdamStep& options, std::ptrdiff_t count, T* parameter, const T* gradient,
               T* first, T* second, const Team& team) {
  parallel_for_elements(count, team, [&](std::ptrdiff_t begin, std::ptrdiff_t length) {
    step_elements(options, length, parameter + begin, gradient + begin, first + begin,
                  second + begin);
  });
}

template void adam_step(const AdamStep&, std::ptrdiff_t, float*, const float*, float*, float*,
                        const Team&);
template void adam_step(const AdamStep&, std::ptrdiff_t, double*, const double*, double*, double*,
                        const Team&);

}  // namespace heedful
