// The partition of the forward pass into tasks: every key/value head of an item into row blocks,
// and if there is only one, into key splits; a decode task has several heads where their rows
// alternate in memory. What depends on the item's own shape alone gives a row the same bits
// whatever else the call computes; what depends on the rest of the call (shorter row blocks if
// there are few tasks) or on the threads (the heads of a decode task) does not change the bits of
// any row.
#pragma once

#include <cstddef>

#include "arrays/ragged_range.hpp"
#include "arrays/small_buffer.hpp"
#include "attention/forward/partition/path.hpp"
#include "attention/problem/row_task.hpp"

namespace heedful {

// Maximum number of key splits of a row.
inline constexpr std::ptrdiff_t max_key_splits = 8;

// The partition of one item.
struct ItemPartition {
  Path path;
  KeyRange keys;               // visible to some row
  std::ptrdiff_t head_blocks;  // of the key/value heads
  std::ptrdiff_t row_blocks, key_splits;

  std::ptrdiff_t tasks() const { return head_blocks * row_blocks * key_splits; }
};

using ItemPartitions = SmallBuffer<ItemPartition, 4>;

template <class T>
class ForwardPartition {
 public:
  // heads_alternate: whether the rows of keys or values do, see TensorView; then a decode task has
  // as many heads as leave enough tasks for the threads.
  ForwardPartition(const Problem& problem, bool heads_alternate, int threads);

  std::ptrdiff_t tasks() const { return tasks_.size(); }
  RowTask task(std::ptrdiff_t index) const;
  // Maximum number of keys of an item whose heads are each read by several tasks; 0 without one.
  std::ptrdiff_t shared_keys() const;
  // Maximum number of rows of a decode task, those of a head padded for the kernels; 0 without one.
  std::ptrdiff_t decoded_rows() const;
  const ItemPartition& operator[](std::ptrdiff_t item) const { return items_[item]; }

 private:
  const Problem& problem_;
  ItemPartitions items_;
  RaggedRange tasks_;
};

}  // namespace heedful
