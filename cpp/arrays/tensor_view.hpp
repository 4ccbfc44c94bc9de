// A strided view of an array (items, heads, rows, columns) in the caller's memory, in the caller's
// element type.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace heedful {

enum class ElementType : std::uint8_t { float32, float64, float16, bfloat16, boolean };

inline constexpr std::ptrdiff_t element_size(ElementType type) {
  switch (type) {
    case ElementType::float64:
      return 8;
    case ElementType::float32:
      return 4;
    case ElementType::float16:
    case ElementType::bfloat16:
      return 2;
    case ElementType::boolean:
      return 1;
  }
  return 0;
}

// The element type of T.
template <class T>
inline constexpr ElementType element_type =
    sizeof(T) == sizeof(double) ? ElementType::float64 : ElementType::float32;

// Strides are in bytes; an axis that is broadcast has stride 0. Items have an offset each instead
// of a stride, because leading axes that broadcast, and packed sequences, have no single stride.
// data is nullptr where the array is None.
struct TensorView {
  char* data = nullptr;
  ElementType type = ElementType::float32;
  const std::ptrdiff_t* item_offsets = nullptr;
  std::ptrdiff_t head_stride = 0;
  std::ptrdiff_t row_stride = 0;
  std::ptrdiff_t column_stride = 0;

  explicit operator bool() const { return data != nullptr; }
  char* item(std::ptrdiff_t item) const { return data + item_offsets[item]; }
  char* row(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t row) const {
    return data + item_offsets[item] + head * head_stride + row * row_stride;
  }
  // Whether no two rows are on the same page of memory.
  bool rows_on_pages() const { return std::abs(row_stride) >= 4096; }
  // Whether rows are contiguous elements of type T, which a kernel can read or write in place.
  template <class T>
  bool in_place() const {
    return type == element_type<T> && column_stride == static_cast<std::ptrdiff_t>(sizeof(T)) &&
           row_stride % static_cast<std::ptrdiff_t>(sizeof(T)) == 0;
  }
};

}  // namespace heedful
