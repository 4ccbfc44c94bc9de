// Which blocks of queries × keys exist.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arrays/tensor_view.hpp"

namespace heedful {

// The kind of a block: all of its keys are hidden from its queries, all are visible, or, from
// `pattern` on, those of pattern kind − pattern.
namespace block_kind {
inline constexpr std::int32_t empty = 0, full = 1, pattern = 2;
}

// Queries and keys are counted in their item. The mask has a block for each of them.
//   kinds     int32 (B, H, query blocks, key blocks), rows contiguous
//   patterns  (P, block_queries, ⌈block_keys / 8⌉), contiguous; bit i mod 8 of byte i / 8 of a row
//   is
//             set where a query may attend to the i-th key of a block
struct BlockMask {
  TensorView kinds;
  const unsigned char* patterns = nullptr;
  std::ptrdiff_t block_queries = 1, block_keys = 1;

  explicit operator bool() const { return static_cast<bool>(kinds); }

  // The number of queries to which panels of at most `rows` are aligned: a block of more rows, or
  // as many whole blocks as fit.
  std::ptrdiff_t aligned_queries(std::ptrdiff_t rows) const {
    return std::max(block_queries, rows / block_queries * block_queries);
  }
  // The kinds of the key blocks for one query.
  const std::int32_t* row(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t query) const {
    return reinterpret_cast<const std::int32_t*>(kinds.row(item, head, query / block_queries));
  }
  // The bits of a partly visible block for one query.
  const unsigned char* pattern_row(std::int32_t kind, std::ptrdiff_t query) const {
    return patterns + ((kind - block_kind::pattern) * block_queries + query % block_queries) *
                          ((block_keys + 7) / 8);
  }
};

}  // namespace heedful
