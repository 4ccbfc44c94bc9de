// How the forward pass is cut into tasks: every key/value head of an item into blocks of rows, and
// where that is only one, into splits of the keys. What is cut by the item's own shape alone gives
// a row the same bits whatever else the call computes; what depends on the rest of the call (the
// finer blocks of few tasks) leaves the bits of every row as they are.
#pragma once

#include <cstddef>

#include "arrays/ragged_range.hpp"
#include "attention/forward/path.hpp"
#include "attention/problem/row_task.hpp"
#include "parallel/scratch.hpp"

namespace heedful {

// Most splits of the keys of a row.
inline constexpr std::ptrdiff_t max_key_splits = 8;

// How each key/value head of one item is cut.
struct ItemPartition {
  Path path;
  KeyRange keys;  // that some row sees
  std::ptrdiff_t row_blocks, key_splits;

  std::ptrdiff_t tasks() const { return row_blocks * key_splits; }
};

template <class T>
class ForwardPartition {
 public:
  explicit ForwardPartition(const Problem& problem);

  std::ptrdiff_t tasks() const { return tasks_.size(); }
  RowTask task(std::ptrdiff_t index) const;
  const ItemPartition& operator[](std::ptrdiff_t item) const { return items_[item]; }

 private:
  const Problem& problem_;
  Buffer<ItemPartition> items_;
  RaggedRange tasks_;
};

}  // namespace heedful
