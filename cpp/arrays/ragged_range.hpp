// Tasks, turns or rows of which every head of an item has some, one after another: item by item,
// head by head. Their places are running sums, so memory grows with their number and not with the
// items times the longest of them.
#pragma once

#include <algorithm>
#include <cstddef>

#include "parallel/scratch.hpp"

namespace heedful {

class RaggedRange {
 public:
  struct Place {
    std::ptrdiff_t item, head, index;  // the number `index` of those that the head has
  };

  // count_of(item): how many each head of the item has.
  template <class CountOf>
  RaggedRange(std::ptrdiff_t items, std::ptrdiff_t heads, const CountOf& count_of)
      : heads_(heads), begins_(items + 1) {
    begins_[0] = 0;
    for (std::ptrdiff_t i = 0; i < items; ++i) begins_[i + 1] = begins_[i] + heads * count_of(i);
  }

  std::ptrdiff_t size() const { return *(begins_.end() - 1); }
  std::ptrdiff_t count(std::ptrdiff_t item) const {
    return (begins_[item + 1] - begins_[item]) / heads_;
  }
  std::ptrdiff_t begin(std::ptrdiff_t item, std::ptrdiff_t head) const {
    return begins_[item] + head * count(item);
  }
  // 0 ≤ position < size()
  Place operator[](std::ptrdiff_t position) const {
    const std::ptrdiff_t item =
        std::upper_bound(begins_.begin(), begins_.end(), position) - begins_.begin() - 1;
    const std::ptrdiff_t rest = position - begins_[item];
    return {item, rest / count(item), rest % count(item)};
  }

 private:
  std::ptrdiff_t heads_;
  Buffer<std::ptrdiff_t> begins_;  // (items + 1)
};

}  // namespace heedful
