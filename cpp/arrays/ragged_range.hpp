// Tasks or rows of a ragged batch, numbered item by item, head by head: each head of an item has as
// many as the item's count. Their positions are running sums, so a table of one element each grows
// with their number and not with items times the largest count.
//
//   2 heads, counts 3, 0, 1      item      0 0 0 0 0 0 2 2
//                                head      0 0 0 1 1 1 0 1
//                                index     0 1 2 0 1 2 0 0
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/small_buffer.hpp"

namespace heedful {

class RaggedRange {
 public:
  struct Place {
    std::ptrdiff_t item, head, index;  // index within the head
  };

  // count_of(item): the count of each head of the item.
  template <class CountOf>
  RaggedRange(std::ptrdiff_t items, std::ptrdiff_t heads, const CountOf& count_of) : items_(items) {
    for (std::ptrdiff_t i = 0; i < items; ++i) {
      items_[i] = {size_, count_of(i)};
      size_ += heads * items_[i].count;
    }
  }

  std::ptrdiff_t size() const { return size_; }
  std::ptrdiff_t count(std::ptrdiff_t item) const { return items_[item].count; }
  std::ptrdiff_t begin(std::ptrdiff_t item, std::ptrdiff_t head) const {
    const OfItem& of_item = items_[item];
    return of_item.begin + head * of_item.count;
  }
  // 0 ≤ position < size()
  Place operator[](std::ptrdiff_t position) const {
    const auto begins_after = [](std::ptrdiff_t at, const OfItem& item) { return at < item.begin; };
    const OfItem* const item =
        std::upper_bound(items_.begin(), items_.end(), position, begins_after) - 1;
    const std::ptrdiff_t offset = position - item->begin;
    return {item - items_.begin(), offset / item->count, offset % item->count};
  }

 private:
  struct OfItem {
    std::ptrdiff_t begin, count;  // of all its heads together; of each head
  };

  SmallBuffer<OfItem, 8> items_;
  std::ptrdiff_t size_ = 0;
};

}  // namespace heedful
