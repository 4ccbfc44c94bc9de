// The key blocks that are visible to some query rows together.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arrays/small_buffer.hpp"
#include "attention/problem/block_mask.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

class BlockRows {
 public:
  // Without rows, or without a mask, every key is visible.
  BlockRows() : rows_(0) {}
  BlockRows(const Problem& problem, std::ptrdiff_t max_rows)
      : block_keys_(problem.block_mask ? problem.block_mask.block_keys : 0),
        separate_(problem.min_weight > 0),
        rows_(problem.block_mask ? max_rows : 0) {}
  template <class T>
  BlockRows(const Problem& problem, const Panel<T>& panel) : BlockRows(problem, panel.count) {
    add(panel);
  }

  // A row of BlockMask. Neighbours usually share it.
  void add(const std::int32_t* row) {
    if (block_keys_ > 0 && (count_ == 0 || rows_[count_ - 1] != row)) rows_[count_++] = row;
  }
  template <class T>
  void add(const Panel<T>& panel) {
    for (int lane = 0; block_keys_ > 0 && lane < panel.count; ++lane) add(panel.blocks[lane]);
  }

  // Empty if it is for all rows, full if it is for all rows, otherwise `pattern`.
  std::int32_t kind(std::ptrdiff_t block) const {
    std::int32_t kind = rows_[0][block];
    for (std::ptrdiff_t row = 1; row < count_; ++row) {
      if (rows_[row][block] != kind) return block_kind::pattern;
    }
    return std::min(kind, block_kind::pattern);
  }

  // Calls visit(range) for every run of keys whose blocks are not empty; for each block, where
  // blocks are dropped.
  template <class Visit>
  void for_runs(KeyRange keys, const Visit& visit) const {
    if (count_ == 0) {
      if (!keys.empty()) visit(keys);
      return;
    }
    KeyRange run{keys.begin, keys.begin};
    for (std::ptrdiff_t key = keys.begin; key < keys.end;) {
      const std::ptrdiff_t block = key / block_keys_;
      const std::ptrdiff_t end = std::min((block + 1) * block_keys_, keys.end);
      if (kind(block) != block_kind::empty) {
        if (run.end < key || run.empty() || separate_) {
          if (!run.empty()) visit(run);
          run.begin = key;
        }
        run.end = end;
      }
      key = end;
    }
    if (!run.empty()) visit(run);
  }

  // The keys without leading and trailing empty blocks. `partial` is set where a block of the
  // others is not full.
  KeyRange trimmed(KeyRange keys, bool& partial) const {
    partial = false;
    if (count_ == 0 || keys.empty()) return keys;
    std::ptrdiff_t first = keys.begin / block_keys_, last = (keys.end - 1) / block_keys_;
    while (first <= last && kind(first) == block_kind::empty) ++first;
    while (last > first && kind(last) == block_kind::empty) --last;
    if (first > last) return {keys.begin, keys.begin};
    for (std::ptrdiff_t block = first; block <= last; ++block) {
      partial |= kind(block) != block_kind::full;
    }
    return {std::max(keys.begin, first * block_keys_),
            std::min(keys.end, (last + 1) * block_keys_)};
  }

 private:
  std::ptrdiff_t block_keys_ = 0;  // 0: no mask
  bool separate_ = false;
  std::ptrdiff_t count_ = 0;
  SmallBuffer<const std::int32_t*, 64> rows_;  // a panel, or a task that decodes, has no more
};

}  // namespace heedful
