// Rows of int8 that kernels read unscaled: their scales multiply scores and weights instead, which
// are fewer than the elements of the rows.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/prefetch.hpp"
#include "arrays/row_loop.hpp"
#include "arrays/rows.hpp"
#include "arrays/tensor_view.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

// Whether the kernels of few rows widen the elements in registers.
template <class T>
bool reads_int8(const TensorView& view, std::ptrdiff_t columns) {
  return sizeof(T) == sizeof(float) && view.type == ElementType::int8 && view.column_stride == 1 &&
         columns >= simd::lanes<T>;
}

// Multiplies the element of each key by the scale of its row, times row_scales[row] if there are
// any; `first` is the row of key 0.
//   elements (rows, stride), from keys.begin on
template <class T>
void multiply_scales(const TensorView& scales, std::ptrdiff_t item, std::ptrdiff_t head,
                     std::ptrdiff_t first, KeyRange keys, std::ptrdiff_t rows, const T* row_scales,
                     T* elements, std::ptrdiff_t stride) {
  constexpr std::ptrdiff_t chunk = 64;
  T factors[chunk];
  for (std::ptrdiff_t key = keys.begin; key < keys.end;) {
    const std::ptrdiff_t count = std::min(keys.end - key, chunk);
    for (std::ptrdiff_t read = 0; read < count;) {  // from one page after another
      const std::ptrdiff_t at = first + key + read, run = scales.run(at, count - read);
      const char* const from = scales.row(item, head, at);
      if (scales.row_stride == static_cast<std::ptrdiff_t>(sizeof(float))) {
        std::copy_n(reinterpret_cast<const float*>(from), run, factors + read);
      } else {
        read_row(from, ElementType::float32, scales.row_stride, factors + read, run);
      }
      read += run;
    }
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      T* const own = elements + row * stride + (key - keys.begin);
      const T row_scale = row_scales ? row_scales[row] : T{1};
      for (std::ptrdiff_t i = 0; i < count; ++i) own[i] *= factors[i] * row_scale;
    }
    key += count;
  }
}

// Prefetches the scales of rows on pages, which lie apart.
inline void prefetch_scales(const TensorView& scales, std::ptrdiff_t item, std::ptrdiff_t head,
                            std::ptrdiff_t first, KeyRange keys) {
  for (std::ptrdiff_t key = keys.begin; key < keys.end;) {
    const std::ptrdiff_t rows = scales.run(first + key, keys.end - key);
    prefetch_row(scales.row(item, head, first + key), rows * scales.row_stride);
    key += rows;
  }
}

}  // namespace heedful
