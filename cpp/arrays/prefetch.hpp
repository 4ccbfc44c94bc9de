// Rows that are read soon, prefetched into L2 while something else is computed: memory answers
// late, and the processor reads ahead by itself only what lies in one piece and is read fast. What
// a task reads and writes once a panel would be waited for: 3 to 5 % of the backward pass.
//   prefetch_row    one row
//   RowRun          rows one stride apart, the next few at a time
//   RowPrefetch     several runs, one after another
//   LinePrefetch    the leaner form for inner loops: a line with each vector that is worked on
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/tensor_view.hpp"
#include "simd/packet.hpp"

namespace heedful {

// Nothing of it need be valid memory.
inline void prefetch_row(const void* row, std::ptrdiff_t bytes) {
  constexpr std::ptrdiff_t line = 64;
  for (std::ptrdiff_t byte = 0; byte < bytes; byte += line) {
    simd::prefetch(static_cast<const char*>(row) + byte);
  }
}

struct RowRun {
  const char* data;
  std::ptrdiff_t stride, count, bytes;  // from row to row; rows; of each

  // Rows [first, first + rows) of a head, `columns` elements each.
  static RowRun of(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                   std::ptrdiff_t first, std::ptrdiff_t rows, std::ptrdiff_t columns) {
    // spread columns are read from lines of their own
    const bool spread = view.column_stride != element_size(view.type);
    return {view.row(item, head, first), view.row_stride, spread ? 0 : rows,
            columns * view.column_stride};
  }

  // The next rows, at most `most`. Returns how many.
  std::ptrdiff_t next(std::ptrdiff_t most) {
    const std::ptrdiff_t rows = std::min(most, count);
    for (std::ptrdiff_t row = 0; row < rows; ++row, data += stride) prefetch_row(data, bytes);
    count -= rows;
    return rows;
  }
};

class RowPrefetch {
 public:
  // As RowRun::of.
  void add(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t first,
           std::ptrdiff_t rows, std::ptrdiff_t columns) {
    const RowRun run = RowRun::of(view, item, head, first, rows, columns);
    if (run.count > 0) runs_[runs_end_++] = run;
  }

  // The next rows, at most `most`.
  void next(std::ptrdiff_t most) {
    while (most > 0 && run_ < runs_end_) {
      most -= runs_[run_].next(most);
      if (runs_[run_].count == 0) ++run_;
    }
  }

 private:
  RowRun runs_[4];
  int run_ = 0, runs_end_ = 0;
};

// While row i of some others is worked on, row i of these is prefetched: half the speed was
// measured without.
struct LinePrefetch {
  const char* rows;
  std::ptrdiff_t stride;  // in bytes

  // The line of a column of elements of that type. Asked for with every vector, though a line may
  // hold some: once a line was 3 to 10 % slower.
  template <class Stored>
  void line(std::ptrdiff_t row, std::ptrdiff_t column) const {
    simd::prefetch(rows + row * stride + column * static_cast<std::ptrdiff_t>(sizeof(Stored)));
  }
};

}  // namespace heedful
