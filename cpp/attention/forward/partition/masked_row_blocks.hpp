// The row blocks of a key/value head with a block mask: rows that see the same blocks of keys.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/even_ranges.hpp"
#include "attention/forward/prefill/prefill.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

// Rows [begin, end) of the rows (head of the group, query), the query varying fastest.
struct RowRange {
  std::ptrdiff_t begin, end;
};

template <class T>
std::ptrdiff_t max_block_rows(const Problem& problem) {
  return traits_of(problem.score_kind).panel_is_task ? Panel<T>::max_lanes : prefill_rows<T>;
}

// The rows of each panel but the last where blocks are dropped, 0: even panels. What is dropped is
// then decided for whole blocks.
template <class T>
std::ptrdiff_t panel_rows(const Problem& problem) {
  return problem.min_weight > 0 ? problem.block_mask.aligned_queries(Panel<T>::max_lanes) : 0;
}

// Each query block of a head, in even parts; several blocks, where they fit into one panel. Where
// blocks of keys are dropped, several panels, since all of them read the same blocks.
template <class T>
class MaskedRowBlocks {
 public:
  MaskedRowBlocks(const Problem& problem, std::ptrdiff_t queries)
      : queries_(queries),
        block_queries_(std::min(aligned_queries(problem), queries)),
        query_blocks_((queries + block_queries_ - 1) / block_queries_),
        parts_((padded<T>(block_queries_) + max_block_rows<T>(problem) - 1) /
               max_block_rows<T>(problem)) {}

  std::ptrdiff_t count_of_head() const { return query_blocks_ * parts_; }
  // Empty for some parts of a short last block.
  RowRange operator[](std::ptrdiff_t index) const {
    const std::ptrdiff_t head = index / count_of_head(), block = index / parts_ % query_blocks_;
    const std::ptrdiff_t first = head * queries_ + block * block_queries_;
    const std::ptrdiff_t count = std::min(block_queries_, queries_ - block * block_queries_);
    const EvenRanges vectors{padded<T>(count) / simd::lanes<T>, parts_};
    const std::ptrdiff_t part = index % parts_;
    return {first + vectors.begin(part) * simd::lanes<T>,
            first + std::min(vectors.begin(part + 1) * simd::lanes<T>, count)};
  }

 private:
  static std::ptrdiff_t aligned_queries(const Problem& problem) {
    const std::ptrdiff_t rows = panel_rows<T>(problem);
    return rows > 0 ? max_block_rows<T>(problem) / Panel<T>::max_lanes * rows
                    : problem.block_mask.aligned_queries(Panel<T>::max_lanes);
  }

  std::ptrdiff_t queries_, block_queries_, query_blocks_, parts_;
};

}  // namespace heedful
