// Rows of one head that a list of indices names, as addresses: in the caller's memory where they
// can be read in place, otherwise converted into a buffer. At most max_rows at a time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "arrays/prefetch.hpp"
#include "arrays/rows.hpp"
#include "arrays/tensor_view.hpp"
#include "arrays/work_area.hpp"

namespace heedful {

template <class T>
class GatheredRows {
 public:
  static constexpr std::ptrdiff_t max_rows = 128;

  GatheredRows(const TensorView& view, std::ptrdiff_t columns, WorkArea& area)
      : view_(view),
        columns_(columns),
        in_place_(reads_in_place<T>(view, columns, InPlace::full_vector)),
        addresses_(area.take<const T*>(max_rows)),
        buffer_(area.take<T>(in_place_ ? 0 : max_rows * padded<T>(columns))) {}

  // Rows `first` + indices[i] of a head, padded with zeros to a vector.
  const T* const* load(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t first,
                       const std::int32_t* indices, std::ptrdiff_t count) const {
    const std::ptrdiff_t stride = padded<T>(columns_);
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      const char* const row = view_.row(item, head, first + indices[i]);
      if (in_place_) {
        addresses_[i] = reinterpret_cast<const T*>(row);
        continue;
      }
      T* const copy = buffer_ + i * stride;
      read_row(row, view_.type, view_.column_stride, copy, columns_);
      for (std::ptrdiff_t column = columns_; column < stride; ++column) copy[column] = 0;
      addresses_[i] = copy;
    }
    return addresses_;
  }

  void prefetch(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t first,
                const std::int32_t* indices, std::ptrdiff_t count) const {
    if (view_.column_stride != element_size(view_.type)) return;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      prefetch_row(view_.row(item, head, first + indices[i]), columns_ * view_.column_stride);
    }
  }

 private:
  const TensorView& view_;
  std::ptrdiff_t columns_;
  bool in_place_;
  const T** addresses_;
  T* buffer_;  // (max_rows, padded columns)
};

}  // namespace heedful
