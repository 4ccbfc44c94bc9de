// Tasks, turns or rows of which every head of an item has some, one after another: item by item,
// head by head. Their places are running sums, so memory grows with their number and not with the
// items times the longest of them.
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
    std::ptrdiff_t item, head, index;  // the number `index` of those that the head has
  };

  // count_of(item): how many each head of the item has.
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
    const std::ptrdiff_t rest = position - item->begin;
    return {item - items_.begin(), rest / item->count, rest % item->count};
  }

 private:
  struct OfItem {
    std::ptrdiff_t begin, count;  // of all its heads; of each
  };

  SmallBuffer<OfItem, 8> items_;
  std::ptrdiff_t size_ = 0;
};

}  // namespace heedful
