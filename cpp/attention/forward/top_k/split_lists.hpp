// The keys of a row block split among tasks: each stores the keys that its rows kept of its own
// part, and the last one to finish merges them. The k best keys of a row are among the k best of
// each part, and the order of keys decides ties: what is kept does not depend on the number of
// parts, which may therefore depend on the number of threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "arrays/ragged_range.hpp"
#include "attention/forward/top_k/row_blocks.hpp"
#include "attention/forward/top_k/selection.hpp"
#include "attention/problem/key_index.hpp"
#include "parallel/scratch.hpp"

namespace heedful {

template <class T>
class SplitLists {
 public:
  SplitLists(const Problem& problem, std::ptrdiff_t blocks, int threads)
      : top_k_(problem.top_k),
        splits_(num_splits(problem, blocks, threads)),
        rows_(problem.num_items, problem.num_kv_heads,
              [&](std::ptrdiff_t item) {
                return splits_ > 1 ? problem.group() * problem.items[item].queries : 0;
              }),
        scores_(rows_.size() * splits_ * top_k_),
        keys_(rows_.size() * splits_ * top_k_),
        counts_(rows_.size() * splits_),
        finished_(splits_ > 1 ? blocks : 0, zeroed) {}

  // The number of tasks of each block.
  std::ptrdiff_t splits() const { return splits_; }

  // Stores what the panels kept of a part. True for the last task of the block, whose panels then
  // have the kept keys of all parts.
  bool merge(std::ptrdiff_t index, const RowBlock& block, std::ptrdiff_t split,
             const Selection<T>& selection) {
    for_rows(block, selection, [&](Candidates<T>& list, int lane, std::ptrdiff_t row) {
      const std::ptrdiff_t place = row * splits_ + split, count = list.count(lane);
      std::copy_n(list.scores(lane), count, scores_.data() + place * top_k_);
      std::copy_n(list.keys(lane), count, keys_.data() + place * top_k_);
      counts_[place] = static_cast<std::int32_t>(count);
    });
    if (finished_[index].fetch_add(1) + 1 < splits_) return false;
    constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;
    for (std::ptrdiff_t p = 0; p * lanes < block.count; ++p) {
      selection[p].candidates.start(selection[p].panel);
    }
    for_rows(block, selection, [&](Candidates<T>& list, int lane, std::ptrdiff_t row) {
      for (std::ptrdiff_t place = row * splits_; place < (row + 1) * splits_; ++place) {
        list.append(lane, scores_.data() + place * top_k_, keys_.data() + place * top_k_,
                    counts_[place]);
      }
    });
    return true;
  }

 private:
  // Two tasks for each thread, of enough keys that lists and merging stay small beside them.
  static std::ptrdiff_t num_splits(const Problem& problem, std::ptrdiff_t blocks, int threads) {
    constexpr std::ptrdiff_t min_keys = 512;
    if (threads == 1 || blocks == 0) return 1;
    std::ptrdiff_t keys = 0;
    for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
      keys = std::max(keys, problem.items[i].keys);
    }
    const std::ptrdiff_t max_splits = (std::ptrdiff_t{2} * threads + blocks - 1) / blocks;
    return std::clamp<std::ptrdiff_t>(keys / std::max(min_keys, 16 * problem.top_k), 1, max_splits);
  }

  // Calls visit(candidates, lane, row) for the rows of a block, counted in the call.
  template <class Visit>
  void for_rows(const RowBlock& block, const Selection<T>& selection, const Visit& visit) {
    constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;
    const std::ptrdiff_t first = rows_.begin(block.item, block.kv_head) + block.first;
    for (std::ptrdiff_t row = 0; row < block.count; ++row) {
      visit(selection[row / lanes].candidates, static_cast<int>(row % lanes), first + row);
    }
  }

  std::ptrdiff_t top_k_, splits_;
  RaggedRange rows_;
  Buffer<T> scores_;                              // (rows, splits, top_k)
  Buffer<KeyIndex> keys_;                         // likewise
  Buffer<std::int32_t> counts_;                   // (rows, splits)
  Buffer<std::atomic<std::ptrdiff_t>> finished_;  // (blocks)
};

}  // namespace heedful
