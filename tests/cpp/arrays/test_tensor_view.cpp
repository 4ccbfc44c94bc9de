// Views: sizes of elements, addresses of rows, and which rows a kernel can read in place.
#include <cstdint>

#include "arrays/tensor_view.hpp"
#include "check.hpp"
#include "tensor.hpp"

namespace heedful {
namespace {

void an_element_has_the_size_of_its_type() {
  check(element_size(ElementType::float64) == 8 && element_size(ElementType::float32) == 4,
        "floats: 8 and 4 bytes");
  check(element_size(ElementType::float16) == 2 && element_size(ElementType::bfloat16) == 2,
        "halves: 2 bytes");
  check(element_size(ElementType::boolean) == 1 && element_size(ElementType::int8) == 1,
        "a boolean, and an integer of 8 bits: 1 byte");
  check(element_type<float> == ElementType::float32 && element_type<double> == ElementType::float64,
        "computing types name their element types");
}

void a_row_is_found_by_its_strides() {
  char data[1000];
  const std::ptrdiff_t offsets[] = {0, 500, 0};
  const TensorView view{data, ElementType::float32, offsets, 40, -8, 4};
  check(view.item(1) == data + 500 && view.item(2) == data, "items are at their offsets");
  check(view.row(1, 3, 2) == data + 500 + 3 * 40 - 2 * 8,
        "a row adds its strides, also negative ones");
}

void a_row_is_found_on_its_page() {
  char data[4000];
  const std::int64_t entries[] = {9, 9, 9, 3, 0, 2};  // of two items, three pages each
  const PageTable table{entries, 3, 4};
  TensorView view{data, ElementType::float32, nullptr, 40, -8, 4};
  view.pages = &table;
  view.page_stride = 200;
  check(view.row(1, 3, 0) == data + 3 * 200 + 3 * 40, "row 0 of item 1 is on page 3");
  check(view.row(1, 3, 6) == data + 0 * 200 + 3 * 40 - 2 * 8, "row 6 is row 2 of the second page");
  check(view.row(1, 0, 8) == data + 2 * 200, "row 8 begins the third page");
  check(view.run(0, 12) == 4 && view.run(3, 12) == 1 && view.run(5, 2) == 2 && view.run(5, 9) == 3,
        "rows are one stride apart up to the end of the page");
  view.pages = nullptr;
  check(view.run(5, 9) == 9, "without pages all are");
}

void a_row_has_its_scale() {
  const float factors[] = {1, 2, 3, 4, 5, 6};
  const std::ptrdiff_t offsets[] = {0};
  TensorView scales{const_cast<char*>(reinterpret_cast<const char*>(factors)),
                    ElementType::float32,
                    offsets,
                    12,
                    4,
                    4};
  TensorView view;
  view.scales = &scales;
  check(view.scale(0, 1, 2) == 6, "scales have the axes of the rows");
}

void a_view_without_data_is_false() {
  check(!TensorView{}, "an empty view is false");
  char data = 0;
  TensorView view;
  view.data = &data;
  check(static_cast<bool>(view), "a view of data is true");
}

void rows_of_the_computing_type_are_read_in_place() {
  const auto in_place = [](ElementType type, std::ptrdiff_t row_stride,
                           std::ptrdiff_t column_stride) {
    TensorView view;
    view.type = type;
    view.row_stride = row_stride;
    view.column_stride = column_stride;
    return view.in_place<float>();
  };
  check(in_place(ElementType::float32, 40, 4), "contiguous floats");
  check(in_place(ElementType::float32, -40, 4) && in_place(ElementType::float32, 0, 4),
        "in any order, or repeated");
  check(!in_place(ElementType::float32, 40, 8) && !in_place(ElementType::float32, 40, -4),
        "not columns that are not contiguous");
  check(!in_place(ElementType::float32, 42, 4), "not rows whose stride is no multiple of a float");
  check(!in_place(ElementType::float64, 40, 8) && !in_place(ElementType::float16, 40, 2),
        "not other types");
}

void heads_alternate_where_their_rows_are_closer_than_those_of_one_head() {
  const auto alternate = [](Layout layout) {
    return Tensor(ElementType::float32, {2, 3, 7, 5}, layout).view().heads_alternate();
  };
  check(alternate(Layout::heads_inside), "(B, L, H, D)");
  check(
      !alternate(Layout::plain) && !alternate(Layout::columns_out) && !alternate(Layout::reversed),
      "not (B, H, L, D), in any order");
  TensorView view = Tensor(ElementType::float32, {2, 3, 7, 5}, Layout::heads_inside).view();
  view.row_stride = -view.row_stride;
  check(view.heads_alternate(), "backwards too");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  an_element_has_the_size_of_its_type();
  a_row_is_found_by_its_strides();
  a_row_is_found_on_its_page();
  a_row_has_its_scale();
  a_view_without_data_is_false();
  rows_of_the_computing_type_are_read_in_place();
  heads_alternate_where_their_rows_are_closer_than_those_of_one_head();
  return summary();
}
