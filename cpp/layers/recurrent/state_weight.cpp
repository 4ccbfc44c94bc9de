#include "layers/recurrent/state_weight.hpp"

#include "parallel/parallel_for.hpp"

namespace heedful {

template <class T>
void StateWeight<T>::multiply(const LinearSizes& sizes, Matrix<const T> states, Matrix<T> sums,
                              const Team& team) const {
  const Epilogue<T> epilogue{nullptr, {}, Activation::none, {}, sums};
  if (!is_narrow()) return linear_forward<T>(sizes, states, rows, epilogue, team);
  if constexpr (sizeof(T) == sizeof(float)) {
    const Team few = threads_for(cost_of(sizes), team);
    if (bfloat16.data) return multiply_few_rows(sizes, states, bfloat16, epilogue, few);
    multiply_few_rows(sizes, states, int8, epilogue, few);
    for (std::ptrdiff_t row = 0; row < sizes.rows; ++row) {
      T* const of_row = sums.row(row);
      for (std::ptrdiff_t o = 0; o < sizes.outputs; ++o) of_row[o] *= scales[o];
    }
  }
}

template <class T>
void StateWeight<T>::widen(std::ptrdiff_t outputs, std::ptrdiff_t inputs, Matrix<T> to,
                           const Team& team) const {
  if constexpr (sizeof(T) == sizeof(float)) {
    const Cost cost = Cost::of_elements(static_cast<double>(outputs * inputs));
    parallel_for(outputs, threads_for(cost, team), 0, [&](std::ptrdiff_t row, Worker&) {
      T* const wide = to.row(row);
      if (bfloat16.data) return simd::convert_row(bfloat16[row], wide, inputs);
      simd::convert_row(int8[row], wide, inputs);
      for (std::ptrdiff_t k = 0; k < inputs; ++k) wide[k] *= scales[row];
    });
  }
}

template struct StateWeight<float>;
template struct StateWeight<double>;

}  // namespace heedful
