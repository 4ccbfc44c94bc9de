// Rows of one head, copied side by side by a thread and kept for its next tasks of the same head.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/rows.hpp"
#include "arrays/tensor_view.hpp"
#include "arrays/work_area.hpp"

namespace heedful {

template <class T>
class KeptRows {
 public:
  // Maximum bytes that a thread keeps of one array.
  static constexpr std::ptrdiff_t max_bytes = std::ptrdiff_t{2} << 20;

  // Memory for the rows of an array with `rows` rows in each head; for none if they are too many.
  KeptRows(std::ptrdiff_t rows, std::ptrdiff_t columns, WorkArea& area)
      : stride_(padded<T>(columns)) {
    const std::ptrdiff_t size = rows * stride_;
    if (size == 0 || size * static_cast<std::ptrdiff_t>(sizeof(T)) > max_bytes) return;
    range_ = area.take<Range>(1);
    rows_ = area.take<T>(size);
    keeps_ = true;
  }

  // Whether there is memory for rows.
  bool keeps() const { return keeps_; }

  // Called before the first task of a thread: the memory is uninitialized.
  void clear() const {
    if (keeps_) *range_ = Range{};
  }

  // Rows [begin, end) of a head, counted from its row `first`. Rows that are not kept are copied;
  // of another head, or apart from [begin, end), they are dropped.
  Rows<T> load(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
               std::ptrdiff_t first, std::ptrdiff_t begin, std::ptrdiff_t end,
               std::ptrdiff_t columns) const {
    Range& kept = *range_;
    const auto copy = [&](std::ptrdiff_t from, std::ptrdiff_t to) {
      copy_rows(view, item, head, first + from, to - from, columns, rows_ + from * stride_);
    };
    if (kept.item != item || kept.head != head || begin > kept.end || end < kept.begin) {
      kept = {item, head, begin, begin};
    }
    if (begin < kept.begin) copy(begin, kept.begin);
    if (end > kept.end) copy(kept.end, end);
    kept.begin = std::min(begin, kept.begin);
    kept.end = std::max(end, kept.end);
    return {rows_ + begin * stride_, stride_};
  }

 private:
  struct Range {
    std::ptrdiff_t item = -1, head = -1, begin = 0, end = 0;
  };

  std::ptrdiff_t stride_;
  Range* range_ = nullptr;
  T* rows_ = nullptr;
  bool keeps_ = false;
};

}  // namespace heedful
