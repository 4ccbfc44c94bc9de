// A strided view of an array (items, heads, rows, columns) in the caller's memory, in the caller's
// element type. The rows of an item are one stride apart, or lie on pages:
//
//   row            0 1 2 3   4 5 6 7   8 9              page_table of the item  5 0 2
//   in memory      page 5    page 0    page 2           page_rows               4
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

namespace heedful {

enum class ElementType : std::uint8_t { float32, float64, float16, bfloat16, boolean, int8 };

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
    case ElementType::int8:
      return 1;
  }
  return 0;
}

// Row r of an item is row r % rows of the page that its entry r / rows names.
struct PageTable {
  const std::int64_t* entries;  // (items, item_pages)
  std::ptrdiff_t item_pages;
  std::ptrdiff_t rows;  // of a page

  // Quotient and remainder: usual sizes are powers of two, which take no division.
  std::ptrdiff_t page(std::ptrdiff_t row) const {
    return power_of_two() ? row >> trailing_zeros() : row / rows;
  }
  std::ptrdiff_t row_of_page(std::ptrdiff_t row) const {
    return power_of_two() ? row & (rows - 1) : row % rows;
  }

 private:
  bool power_of_two() const { return (rows & (rows - 1)) == 0; }
  int trailing_zeros() const { return __builtin_ctzll(static_cast<unsigned long long>(rows)); }
};

// The element type of T.
template <class T>
inline constexpr ElementType element_type =
    sizeof(T) == sizeof(double) ? ElementType::float64 : ElementType::float32;

// Strides are in bytes; an axis that is broadcast has stride 0. Items have an offset each instead
// of a stride, because leading axes that broadcast, and packed sequences, have no single stride;
// with pages they are not used. data is nullptr where the array is None.
struct TensorView {
  char* data = nullptr;
  ElementType type = ElementType::float32;
  const std::ptrdiff_t* item_offsets = nullptr;
  std::ptrdiff_t head_stride = 0;
  std::ptrdiff_t row_stride = 0;
  std::ptrdiff_t column_stride = 0;
  const PageTable* pages = nullptr;
  std::ptrdiff_t page_stride = 0;
  const TensorView* scales = nullptr;  // of int8: one float32 that multiplies the row

  explicit operator bool() const { return data != nullptr; }
  char* item(std::ptrdiff_t item) const { return data + item_offsets[item]; }
  char* row(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t row) const {
    if (pages) return row_on_page(item, head, row);
    return data + item_offsets[item] + head * head_stride + row * row_stride;
  }
  // Of rows [first, first + count): how many are one stride apart, counted from the first.
  std::ptrdiff_t run(std::ptrdiff_t first, std::ptrdiff_t count) const {
    return pages ? std::min(count, pages->rows - pages->row_of_page(first)) : count;
  }
  float scale(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t row) const {
    return *reinterpret_cast<const float*>(scales->row(item, head, row));
  }
  // Whether each row is followed by that of another head, as in (B, L, H, D) memory.
  bool heads_alternate() const { return std::abs(head_stride) < std::abs(row_stride); }
  // Whether no two rows are on the same page of memory.
  bool rows_on_pages() const { return std::abs(row_stride) >= 4096; }
  // Whether rows are contiguous elements of type T, which a kernel can read or write in place.
  template <class T>
  bool in_place() const {
    return type == element_type<T> && column_stride == static_cast<std::ptrdiff_t>(sizeof(T)) &&
           row_stride % static_cast<std::ptrdiff_t>(sizeof(T)) == 0;
  }

 private:
  char* row_on_page(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t row) const {
    const std::int64_t page = pages->entries[item * pages->item_pages + pages->page(row)];
    return data + page * page_stride + head * head_stride + pages->row_of_page(row) * row_stride;
  }
};

}  // namespace heedful
