// The row blocks of a selection: a task each. They do not change the bits of any row.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/even_ranges.hpp"
#include "arrays/ragged_range.hpp"
#include "arrays/rows.hpp"
#include "attention/forward/top_k/selection.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

// Rows [first, first + count) of the rows (head of the group, query) of one key/value head.
struct RowBlock {
  std::ptrdiff_t item, kv_head, first, count;
};

template <class T>
class RowBlocks {
 public:
  explicit RowBlocks(const Problem& problem)
      : problem_(problem),
        max_rows_(max_rows(problem)),
        blocks_(problem.num_items, problem.num_kv_heads,
                [&](std::ptrdiff_t item) { return (rows(item) + max_rows_ - 1) / max_rows_; }) {}

  std::ptrdiff_t size() const { return blocks_.size(); }
  RowBlock operator[](std::ptrdiff_t index) const {
    constexpr std::ptrdiff_t width = simd::lanes<T>;
    const RaggedRange::Place place = blocks_[index];
    const std::ptrdiff_t count = blocks_.count(place.item), own = rows(place.item);
    // the last rows first: with causal attention they see the most keys
    const std::ptrdiff_t block = count - 1 - place.index;
    const EvenRanges vectors{padded<T>(own) / width, count};
    const std::ptrdiff_t begin = vectors.begin(block) * width;
    const std::ptrdiff_t end = std::min(vectors.begin(block + 1) * width, own);
    return {place.item, place.head, begin, end - begin};
  }
  // Maximum number of keys of an item whose heads are each read by several tasks.
  std::ptrdiff_t shared_keys() const {
    std::ptrdiff_t keys = 0;
    for (std::ptrdiff_t i = 0; i < problem_.num_items; ++i) {
      if (blocks_.count(i) > 1) keys = std::max(keys, problem_.items[i].keys);
    }
    return keys;
  }

 private:
  // As many as share a key tile; fewer, but a panel, if threads would be idle.
  static std::ptrdiff_t max_rows(const Problem& problem) {
    constexpr std::ptrdiff_t min_tasks = 16, lanes = Panel<T>::max_lanes;
    std::ptrdiff_t total = 0;
    for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
      total += problem.num_heads * problem.items[i].queries;
    }
    const std::ptrdiff_t even = (total + min_tasks * lanes - 1) / (min_tasks * lanes) * lanes;
    return std::clamp(even, lanes, max_selection_panels<T>(problem.top_k) * lanes);
  }
  std::ptrdiff_t rows(std::ptrdiff_t item) const {
    return problem_.group() * problem_.items[item].queries;
  }

  const Problem& problem_;
  std::ptrdiff_t max_rows_;
  RaggedRange blocks_;
};

}  // namespace heedful
