// Rows of a task, and where their log-sum-exp is written.
#include "attention/problem/row_task.hpp"
#include "check.hpp"
#include "example.hpp"

namespace heedful {
namespace {

void rows_are_counted_head_by_head() {
  Example example({2, 6, 2, 7, 11, 5, 3}, ElementType::float32);
  const RowTask task{0, 1, 5, 16, {0, 11}, 0};
  bool right = true;
  for (std::ptrdiff_t row = 0; row < 16; ++row) {
    const Row place = row_of(example.problem, task, row);
    right &= (place.head - 3) * 7 + place.query == 5 + row && place.query < 7 && place.head >= 3;
  }
  check(right, "row r of the task is query (5 + r) mod 7 of head 3 + (5 + r) / 7");
}

void a_task_of_several_heads_has_the_same_rows_of_each() {
  const RowTask task{1, 2, 5, 16, {3, 11}, 4, 0, 3};
  const RowTask last = task.of_head(2);
  check(last.item == 1 && last.kv_head == 4 && last.kv_heads == 1, "its third head is 2 + 2");
  check(last.first_row == 5 && last.rows == 16 && last.keys.begin == 3 && last.keys.end == 11 &&
            last.key_split == 4,
        "with the rows, the keys and the split of the task");
}

void lse_goes_to_the_row_of_the_item() {
  Example example({2, 4, 2, 7, 11, 5, 3}, ElementType::float32);
  example.item(1) = {2, 3, 0, 11, 0};  // its queries are rows 2 to 4
  Tensor lse(ElementType::float32, {2, 4, 7, 1}, Layout::plain);
  const Tensor untouched(ElementType::float32, {2, 4, 7, 1});
  const TensorView none;
  const auto write = [&](const TensorView& view) {
    const ForwardCall<float> call{example.problem,
                                  example.query.view(),
                                  example.key.view(),
                                  example.value.view(),
                                  example.value.view(),
                                  view,
                                  {},
                                  1};
    write_lse(call, 1, Row{3, 2}, 4.5f);
  };
  write(none);
  check(lse.bytes() == untouched.bytes(), "without an lse tensor nothing is written");
  write(lse.view());
  check(lse.get(1, 3, 4) == 4.5, "query 2 of an item that begins at row 2 is row 4");
  lse.set(1, 3, 4, 0, 0);
  check(lse.bytes() == untouched.bytes(), "nothing else is written");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  rows_are_counted_head_by_head();
  a_task_of_several_heads_has_the_same_rows_of_each();
  lse_goes_to_the_row_of_the_item();
  return summary();
}
