// The rows of a tensor on pages in another order than theirs. What no row fills is NaN.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "tensor.hpp"

namespace heedful {

class PagedTensor {
 public:
  // With rows_first, each row of a page is followed by that of the next head.
  PagedTensor(const Tensor& whole, std::ptrdiff_t page_rows, bool rows_first = false) {
    const Shape shape = whole.shape();
    const std::ptrdiff_t item_pages = (shape.rows + page_rows - 1) / page_rows;
    const std::ptrdiff_t pages = shape.items * item_pages;
    pool_ = Tensor(whole.view().type, {pages + 1, shape.heads, page_rows, shape.columns},
                   rows_first ? Layout::heads_inside : Layout::plain);
    pool_.fill([] { return std::numeric_limits<double>::quiet_NaN(); });
    for (std::ptrdiff_t item = 0; item < shape.items; ++item) {
      for (std::ptrdiff_t page = 0; page < item_pages; ++page) {
        entries_.push_back(pages - item * item_pages - page);  // the first page is no one's
      }
    }
    whole.for_each([&](auto item, auto head, auto row, auto column) {
      const std::ptrdiff_t page = entry(item * item_pages + row / page_rows);
      pool_.set(page, head, row % page_rows, column, whole.get(item, head, row, column));
    });
    table_ = {entries_.data(), item_pages, page_rows};
    view_ = pool_.view();
    view_.page_stride = view_.item_offsets[1] - view_.item_offsets[0];
    view_.pages = &table_;
  }
  PagedTensor(const PagedTensor&) = delete;
  PagedTensor& operator=(const PagedTensor&) = delete;

  const TensorView& view() const { return view_; }
  std::ptrdiff_t entry(std::ptrdiff_t place) const {
    return entries_[static_cast<std::size_t>(place)];
  }

 private:
  Tensor pool_;
  std::vector<std::int64_t> entries_;
  PageTable table_;
  TensorView view_;
};

}  // namespace heedful
