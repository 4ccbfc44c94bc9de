#include "linear/epilogue.hpp"

#include <algorithm>

#include "simd/packet.hpp"

namespace heedful {
namespace {

// sum = a + b
template <class T>
void add_rows(const T* a, const T* b, T* sum, std::ptrdiff_t count) {
  std::ptrdiff_t i = 0;
  for (; i + simd::lanes<T> <= count; i += simd::lanes<T>) {
    simd::store(sum + i, simd::add(simd::load(a + i), simd::load(b + i)));
  }
  for (; i < count; ++i) sum[i] = a[i] + b[i];
}

constexpr std::ptrdiff_t chunk_columns = 256;

}  // namespace

template <class T>
void Epilogue<T>::finish(const T* sums, std::ptrdiff_t row, std::ptrdiff_t first,
                         std::ptrdiff_t count) const {
  alignas(64) T buffer[chunk_columns];
  for (std::ptrdiff_t begin = 0; begin < count; begin += chunk_columns) {
    const std::ptrdiff_t columns = std::min(chunk_columns, count - begin);
    const std::ptrdiff_t column = first + begin;
    T* const result = y.row(row) + column;
    // each step writes where the next one reads; the last one writes y
    const bool is_last = activation == Activation::none && !residual;
    T* const sum = before ? before.row(row) + column : is_last ? result : buffer;
    const T* value = sums + begin;
    if (bias) {
      add_rows(value, bias + column, sum, columns);
      value = sum;
    } else if (before && sum != value) {
      std::copy_n(value, columns, sum);
    }
    if (activation != Activation::none) {
      T* const active = residual ? buffer : result;
      activate(activation, value, active, columns);
      value = active;
    }
    if (residual) {
      add_rows(value, residual.row(row) + column, result, columns);
    } else if (value != result) {
      std::copy_n(value, columns, result);
    }
  }
}

template struct Epilogue<float>;
template struct Epilogue<double>;

}  // namespace heedful
