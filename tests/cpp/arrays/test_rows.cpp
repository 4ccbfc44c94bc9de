// Rows of the caller's arrays: read in place or copied.
#include <limits>
#include <vector>

#include "arrays/rows.hpp"
#include "check.hpp"
#include "paged_tensor.hpp"
#include "random_numbers.hpp"
#include "tensor.hpp"

namespace heedful {
namespace {

constexpr ElementType floating_types[] = {ElementType::float32, ElementType::float64,
                                          ElementType::float16, ElementType::bfloat16};

template <class T>
std::vector<T> filled(std::ptrdiff_t count, T value = T{0}) {
  return std::vector<T>(static_cast<std::size_t>(count), value);
}

template <class T>
bool rows_hold(Rows<T> rows, const Tensor& tensor, std::ptrdiff_t first, std::ptrdiff_t count) {
  for (std::ptrdiff_t row = 0; row < count; ++row) {
    for (std::ptrdiff_t column = 0; column < tensor.shape().columns; ++column) {
      if (rows.data[row * rows.stride + column] !=
          static_cast<T>(tensor.get(1, 2, first + row, column)))
        return false;
    }
  }
  return true;
}

template <class T>
void rows_are_read_in_place_or_copied_with_zero_padding() {
  RandomNumbers random(10);
  constexpr Layout all[] = {Layout::plain, Layout::heads_inside, Layout::spread,
                            Layout::columns_out, Layout::reversed};
  for (const std::ptrdiff_t columns : {1, 3, 4, 8, 16, 19}) {
    for (const Layout layout : all) {
      for (const ElementType type : floating_types) {
        for (const InPlace condition :
             {InPlace::any_stride, InPlace::full_vector, InPlace::close}) {
          Tensor tensor(type, {2, 3, 7, columns}, layout);
          tensor.fill([&] { return random.exact(); });
          auto buffer = filled<T>(5 * padded<T>(columns), std::numeric_limits<T>::quiet_NaN());
          const Rows<T> rows =
              load_rows(tensor.view(), 1, 2, 2, 5, columns, condition, buffer.data());
          check(rows_hold(rows, tensor, 2, 5), "rows 2 to 6 of the head are read");
          const bool one_run =
              tensor.view().column_stride == static_cast<std::ptrdiff_t>(sizeof(T));
          const bool in_place = type == element_type<T> && one_run &&
                                (condition != InPlace::full_vector || columns >= simd::lanes<T>) &&
                                (condition != InPlace::close || layout != Layout::heads_inside);
          check((rows.data != buffer.data()) == in_place,
                "contiguous elements of the computing type are read in place");
          if (in_place) continue;
          bool zeros = rows.stride == padded<T>(columns);
          for (std::ptrdiff_t row = 0; row < 5; ++row) {
            for (std::ptrdiff_t i = columns; i < rows.stride; ++i) {
              zeros &= rows.data[row * rows.stride + i] == 0;
            }
          }
          check(zeros, "copies have zeros up to full vectors");
        }
      }
    }
  }
}

template <class T>
void rows_on_pages_are_read_one_after_another() {
  RandomNumbers random(11);
  for (const std::ptrdiff_t columns : {3, 16, 19}) {
    for (const ElementType type : floating_types) {
      for (const std::ptrdiff_t page_rows : {1, 3, 4, 50}) {
        Tensor tensor(type, {2, 3, 11, columns});
        tensor.fill([&] { return random.exact(); });
        const PagedTensor paged(tensor, page_rows);
        const std::ptrdiff_t size = 8 * padded<T>(columns);
        auto buffer = filled<T>(size), copy = filled<T>(size);
        const Rows<T> rows =
            load_rows(paged.view(), 1, 2, 2, 8, columns, InPlace::any_stride, buffer.data());
        check(rows_hold(rows, tensor, 2, 8), "rows 2 to 9 of the head are read");
        const bool in_place = type == element_type<T> && page_rows == 50;
        check((rows.data != buffer.data()) == in_place, "in place, if they are on one page");
        check(!reads_in_place<T>(paged.view(), columns, InPlace::any_stride),
              "which not all rows are");
        copy_rows(paged.view(), 1, 2, 2, 8, columns, copy.data());
        check(rows_hold(Rows<T>{copy.data(), padded<T>(columns)}, tensor, 2, 8), "or copied");
      }
    }
  }
}

template <class T>
void rows_of_int8_are_scaled() {
  RandomNumbers random(12);
  for (const std::ptrdiff_t columns : {1, 3, 16, 19, 64}) {
    for (const Layout layout : {Layout::plain, Layout::heads_inside, Layout::spread}) {
      Tensor tensor(ElementType::int8, {2, 3, 11, columns}, layout);
      Tensor scales(ElementType::float32, {2, 3, 11, 1});
      tensor.fill([&] { return static_cast<double>(random.bits() % 255) - 127; });
      scales.fill([&] { return random.exact(); });
      TensorView view = tensor.view();
      view.scales = &scales.view();
      auto buffer = filled<T>(8 * padded<T>(columns), std::numeric_limits<T>::quiet_NaN());
      const Rows<T> rows = load_rows(view, 1, 2, 2, 8, columns, InPlace::any_stride, buffer.data());
      auto row = filled<T>(columns);
      bool right = true;
      for (std::ptrdiff_t r = 0; r < 8; ++r) {
        read_row(view, 1, 2, 2 + r, row.data(), columns);
        for (std::ptrdiff_t c = 0; c < columns; ++c) {
          const T expected =
              static_cast<T>(scales.get(1, 2, 2 + r)) * static_cast<T>(tensor.get(1, 2, 2 + r, c));
          right &= rows.data[r * rows.stride + c] == expected;
          right &= row[static_cast<std::size_t>(c)] == expected;
        }
        for (std::ptrdiff_t c = columns; c < rows.stride; ++c) {
          right &= rows.data[r * rows.stride + c] == 0;
        }
      }
      check(right, "row = scale · elements, with zeros up to full vectors");
    }
  }
}

template <class T>
void everything() {
  check(padded<T>(0) == 0 && padded<T>(1) == simd::lanes<T> &&
            padded<T>(simd::lanes<T>) == simd::lanes<T> &&
            padded<T>(simd::lanes<T> + 1) == 2 * simd::lanes<T>,
        "padded rounds up to full vectors");
  rows_are_read_in_place_or_copied_with_zero_padding<T>();
  rows_on_pages_are_read_one_after_another<T>();
  rows_of_int8_are_scaled<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
