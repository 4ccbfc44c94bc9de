// An array (items, heads, rows, columns) of any element type and memory layout, and its view for
// kernels. Its memory has the minimum size, so that the address sanitizer reports every access
// outside.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "arrays/tensor_view.hpp"
#include "half_bits.hpp"

namespace heedful {

enum class Layout {
  plain,         // (items, heads, rows, columns), contiguous
  heads_inside,  // (items, rows, heads, columns)
  spread,        // columns two apart
  columns_out,   // (items, heads, columns, rows)
  reversed,      // rows and columns have negative strides
};

struct Shape {
  std::ptrdiff_t items, heads, rows, columns;
};

// The element at an address.
inline double element_at(const char* address, ElementType type) {
  const auto as = [&](auto number) {
    std::memcpy(&number, address, sizeof(number));
    return number;
  };
  switch (type) {
    case ElementType::float32:
      return static_cast<double>(as(float{}));
    case ElementType::float64:
      return as(double{});
    case ElementType::float16:
      return Float16::looked_up(as(std::uint16_t{}));
    case ElementType::bfloat16:
      return Bfloat16::looked_up(as(std::uint16_t{}));
    case ElementType::boolean:
      return as(std::uint8_t{}) != 0 ? 1 : 0;
    case ElementType::int8:
      return as(std::int8_t{});
  }
  return 0;
}

inline void put_element(char* address, ElementType type, double number) {
  const auto put = [&](auto bits) { std::memcpy(address, &bits, sizeof(bits)); };
  switch (type) {
    case ElementType::float32:
      return put(static_cast<float>(number));
    case ElementType::float64:
      return put(number);
    case ElementType::float16:
      return put(number != number ? std::uint16_t{0x7E00} : Float16::nearest(number));
    case ElementType::bfloat16:
      return put(number != number ? std::uint16_t{0x7FC0} : Bfloat16::nearest(number));
    case ElementType::boolean:
      return put(static_cast<std::uint8_t>(number != 0 ? 1 : 0));
    case ElementType::int8:
      return put(static_cast<std::int8_t>(number != number ? 77 : number));
  }
}

// An element of a view, addressed by its strides alone.
inline double element(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                      std::ptrdiff_t row, std::ptrdiff_t column) {
  return element_at(view.data + view.item_offsets[item] + head * view.head_stride +
                        row * view.row_stride + column * view.column_stride,
                    view.type);
}

class Tensor {
 public:
  Tensor() = default;

  // Axes of length 1 have stride 0, so that they broadcast; a single column counts as contiguous.
  Tensor(ElementType type, Shape shape, Layout layout = Layout::plain) : shape_(shape) {
    const std::ptrdiff_t lengths[4] = {shape.items, shape.heads, shape.rows, shape.columns};
    const int orders[5][4] = {{0, 1, 2, 3}, {0, 2, 1, 3}, {0, 1, 2, 3}, {0, 1, 3, 2}, {0, 1, 2, 3}};
    std::ptrdiff_t strides[4] = {};
    std::ptrdiff_t next = element_size(type) * (layout == Layout::spread ? 2 : 1);
    std::ptrdiff_t last = 0;  // the offset of the last element
    for (int i = 3; i >= 0; --i) {
      const int axis = orders[static_cast<int>(layout)][i];
      strides[axis] = lengths[axis] == 1 ? 0 : next;
      next *= std::max<std::ptrdiff_t>(lengths[axis], 1);
      last += (lengths[axis] - 1) * strides[axis];
    }
    if (size() > 0) bytes_.resize(static_cast<std::size_t>(last + element_size(type)));
    std::ptrdiff_t first = 0;
    if (layout == Layout::reversed && size() > 0) {
      for (const int axis : {2, 3}) {
        first += (lengths[axis] - 1) * strides[axis];
        strides[axis] = -strides[axis];
      }
    }
    if (bytes_.empty()) bytes_.reserve(1);  // an empty array has an address too
    for (std::ptrdiff_t item = 0; item < std::max<std::ptrdiff_t>(shape.items, max_items); ++item) {
      offsets_.push_back(first + item * strides[0]);
    }
    view_ = {bytes_.data(), type, offsets_.data(), strides[1], strides[2], strides[3]};
    if (shape.columns == 1) view_.column_stride = element_size(type);
  }
  Tensor(Tensor&&) = default;
  Tensor& operator=(Tensor&&) = default;

  const TensorView& view() const { return view_; }
  // The view of an array that broadcasts along its columns too.
  TensorView broadcast_view() const {
    TensorView view = view_;
    if (shape_.columns == 1) view.column_stride = 0;
    return view;
  }
  Shape shape() const { return shape_; }
  std::ptrdiff_t size() const { return shape_.items * shape_.heads * shape_.rows * shape_.columns; }
  const std::vector<char>& bytes() const { return bytes_; }

  double get(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t row,
             std::ptrdiff_t column = 0) const {
    return element(view_, item, head, row, column);
  }
  void set(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t row, std::ptrdiff_t column,
           double value) {
    put_element(view_.row(item, head, row) + column * view_.column_stride, view_.type, value);
  }

  // Sets every element to function().
  template <class Function>
  void fill(const Function& function) {
    for_each([&](std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t row,
                 std::ptrdiff_t column) { set(item, head, row, column, function()); });
  }
  template <class Function>
  void for_each(const Function& function) const {
    for (std::ptrdiff_t item = 0; item < shape_.items; ++item) {
      for (std::ptrdiff_t head = 0; head < shape_.heads; ++head) {
        for (std::ptrdiff_t row = 0; row < shape_.rows; ++row) {
          for (std::ptrdiff_t column = 0; column < shape_.columns; ++column) {
            function(item, head, row, column);
          }
        }
      }
    }
  }

 private:
  static constexpr std::ptrdiff_t max_items = 8;  // to which an array of one item broadcasts

  Shape shape_{0, 0, 0, 0};
  std::vector<char> bytes_;
  std::vector<std::ptrdiff_t> offsets_;
  TensorView view_;
};

}  // namespace heedful
