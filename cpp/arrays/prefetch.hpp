// Prefetching of rows into L2 while something else is computed: memory latency is long, and the
// hardware prefetcher follows only contiguous memory that is read fast. Waiting for memory that a
// task reads and writes once per panel would cost 3 to 5 % of the backward pass.
//   prefetch_row    one row
//   RowRun          rows one stride apart, a few at a time
//   RowPrefetch     several runs, one after another
//   LinePrefetch    the cheaper form for inner loops: one cache line per vector that is processed
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arrays/tensor_view.hpp"
#include "simd/packet.hpp"

namespace heedful {

// The row need not be valid memory.
inline void prefetch_row(const void* row, std::ptrdiff_t bytes) {
  constexpr std::ptrdiff_t line = 64;
#pragma GCC unroll 4
  for (std::ptrdiff_t byte = 0; byte < bytes; byte += line) {
    simd::prefetch(static_cast<const char*>(row) + byte);
  }
}

struct RowRun {
  const char* data;
  std::ptrdiff_t stride, count;  // from row to row; number of rows
  std::ptrdiff_t bytes;          // to prefetch of a row, so that its last cache line is reached

  // Rows [first, first + rows) of a head, `columns` elements each; of several pages, the first
  // one's.
  static RowRun of(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                   std::ptrdiff_t first, std::ptrdiff_t rows, std::ptrdiff_t columns) {
    // columns that are not contiguous lie in cache lines of their own
    const bool spread = view.column_stride != element_size(view.type);
    if (rows == 0 || spread) return {nullptr, 0, 0, 0};
    const char* const data = view.row(item, head, first);
    const std::ptrdiff_t bytes = columns * view.column_stride;
    // a row that starts inside a line ends on the first one of the next row, if that follows
    const std::ptrdiff_t inside = reinterpret_cast<std::uintptr_t>(data) % 64;
    return {data, view.row_stride, view.run(first, rows),
            bytes + (view.row_stride == bytes ? 0 : inside)};
  }

  // Prefetches the next rows, at most `max_count`. Returns how many.
  std::ptrdiff_t next(std::ptrdiff_t max_count) {
    const std::ptrdiff_t rows = std::min(max_count, count);
    for (std::ptrdiff_t row = 0; row < rows; ++row, data += stride) prefetch_row(data, bytes);
    count -= rows;
    return rows;
  }
};

class RowPrefetch {
 public:
  static constexpr int max_runs = 12;

  // `step`: the rows that next() prefetches.
  explicit RowPrefetch(std::ptrdiff_t step = 1) : step_(step) {}

  // No more than max_runs.
  void add(const RowRun& run) {
    if (run.count > 0 && runs_end_ < max_runs) runs_[runs_end_++] = run;
  }

  // As RowRun::of.
  void add(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t first,
           std::ptrdiff_t rows, std::ptrdiff_t columns) {
    add(RowRun::of(view, item, head, first, rows, columns));
  }

  // Bytes of the rows that are still to be prefetched.
  std::ptrdiff_t bytes() const {
    std::ptrdiff_t total = 0;
    for (int run = run_; run < runs_end_; ++run) total += runs_[run].count * runs_[run].bytes;
    return total;
  }

  // Prefetches the next rows.
  void next() {
    std::ptrdiff_t max_count = step_;
    while (max_count > 0 && run_ < runs_end_) {
      max_count -= runs_[run_].next(max_count);
      if (runs_[run_].count == 0) ++run_;
    }
  }

 private:
  RowRun runs_[max_runs];
  std::ptrdiff_t step_;
  int run_ = 0, runs_end_ = 0;
};

// While row i of an operand is processed, row i of these rows is prefetched: without it, half the
// speed was measured.
struct LinePrefetch {
  const char* rows;
  std::ptrdiff_t stride;  // in bytes

  // Prefetches the line of a column of elements of type Stored. Done for every vector, although a
  // line may hold several: once per line was 3 to 10 % slower.
  template <class Stored>
  void line(std::ptrdiff_t row, std::ptrdiff_t column) const {
    simd::prefetch(rows + row * stride + column * static_cast<std::ptrdiff_t>(sizeof(Stored)));
  }
};

// Rows that a kernel processes together: it may prefetch as many, less one, past the last.
inline constexpr std::ptrdiff_t prefetched_block = 4;

// Likewise, of rows of any places in memory, with places for whole blocks.
struct ListPrefetch {
  const std::int8_t* const* rows;

  template <class Stored>
  void line(std::ptrdiff_t row, std::ptrdiff_t column) const {
    simd::prefetch(rows[row] + column * static_cast<std::ptrdiff_t>(sizeof(Stored)));
  }
};

}  // namespace heedful
