#include "linear/epilogue.hpp"

#include <algorithm>

#include "simd/packet.hpp"

namespace heedful {
namespace {

// sum = a + b
template <class T>
void add_numbers(const T* a, const T* b, T* sum, std::ptrdiff_t count) {
  std::ptrdiff_t i = 0;
  for (; i + simd::lanes<T> <= count; i += simd::lanes<T>) {
    simd::store(sum + i, simd::add(simd::load(a + i), simd::load(b + i)));
  }
  for (; i < count; ++i) sum[i] = a[i] + b[i];
}

constexpr std::ptrdiff_t part_numbers = 256;

}  // namespace

template <class T>
void Epilogue<T>::finish(const T* sums, std::ptrdiff_t row, std::ptrdiff_t first,
                         std::ptrdiff_t count) const {
  alignas(64) T own[part_numbers];
  for (std::ptrdiff_t begin = 0; begin < count; begin += part_numbers) {
    const std::ptrdiff_t numbers = std::min(part_numbers, count - begin);
    const std::ptrdiff_t column = first + begin;
    T* const result = y.row(row) + column;
    // each step writes where the next one reads; the last one writes y
    const bool is_last = activation == Activation::none && !residual;
    T* const sum = before ? before.row(row) + column : is_last ? result : own;
    const T* value = sums + begin;
    if (bias) {
      add_numbers(value, bias + column, sum, numbers);
      value = sum;
    } else if (before && sum != value) {
      std::copy_n(value, numbers, sum);
    }
    if (activation != Activation::none) {
      T* const active = residual ? own : result;
      activate(activation, value, active, numbers);
      value = active;
    }
    if (residual) {
      add_numbers(value, residual.row(row) + column, result, numbers);
    } else if (value != result) {
      std::copy_n(value, numbers, result);
    }
  }
}

template struct Epilogue<float>;
template struct Epilogue<double>;

}  // namespace heedful
