// Prefetched rows: each once, in order, and no more than there are. Invalid addresses are harmless.
#include "arrays/prefetch.hpp"
#include "check.hpp"

namespace heedful {
namespace {

TensorView view_of(char* data, std::ptrdiff_t column_stride) {
  static const std::ptrdiff_t offsets[] = {0, 1000};
  return {data, ElementType::float32, offsets, 500, 52, column_stride};
}

void a_run_resumes_where_it_stopped() {
  char memory[2000];
  RowRun run = RowRun::of(view_of(memory, 4), 1, 1, 2, 7, 13);
  check(run.data == memory + 1000 + 500 + 104 && run.bytes == 52, "the first row and its length");
  check(run.next(3) == 3 && run.data == memory + 1604 + 3 * 52, "three rows further");
  check(run.next(9) == 4 && run.count == 0 && run.next(1) == 0, "no more than there are");
  check(RowRun::of(view_of(memory, 8), 1, 1, 2, 7, 13).count == 0, "no rows of spread columns");
}

void the_last_line_of_a_row_is_reached() {
  alignas(64) char memory[2000];
  const auto bytes = [&](std::ptrdiff_t offset, std::ptrdiff_t row_stride) {
    TensorView view = view_of(memory + offset, 4);
    view.row_stride = row_stride;
    return RowRun::of(view, 0, 0, 0, 7, 13).bytes;
  };
  check(bytes(0, 208) == 52, "a row that starts a line");
  check(bytes(16, 208) == 52 + 16, "one that starts inside a line ends as far inside another");
  check(bytes(16, 52) == 52, "which is prefetched with the next row if that follows");
}

void a_run_ends_with_its_page() {
  char memory[2000];
  const std::int64_t entries[] = {1, 0};
  const PageTable table{entries, 2, 8};
  TensorView view = view_of(memory, 4);
  view.pages = &table;
  view.page_stride = 900;
  RowRun run = RowRun::of(view, 0, 1, 6, 7, 13);
  check(run.data == memory + 900 + 500 + 6 * 52 && run.count == 2, "two rows of the first page");
}

void runs_follow_one_another() {
  char memory[2000];
  RowPrefetch prefetch(2);
  for (int run = 0; run < 4; ++run) {
    prefetch.add(view_of(memory, 4), 0, 0, 0, run % 2 == 0 ? 3 : 0, 13);
    prefetch.add(view_of(memory, 8), 0, 0, 0, 3, 13);
  }
  check(prefetch.bytes() == 2 * 3 * 52, "the bytes of all runs");
  prefetch.next();
  prefetch.next();
  check(prefetch.bytes() == 2 * 52, "two rows a step, over the end of a run");
  prefetch.next();
  prefetch.next();
  check(prefetch.bytes() == 0, "all rows were prefetched, and more were requested");
  prefetch_row(nullptr, 1000);
  for (int run = 0; run < 2 * RowPrefetch::max_runs; ++run) {
    prefetch.add(view_of(memory, 4), 0, 0, 0, 3, 13);
  }
  check(prefetch.bytes() == (RowPrefetch::max_runs - 2) * 3 * 52, "further runs are dropped");
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::a_run_resumes_where_it_stopped();
  heedful::the_last_line_of_a_row_is_reached();
  heedful::a_run_ends_with_its_page();
  heedful::runs_follow_one_another();
  return heedful::summary();
}
