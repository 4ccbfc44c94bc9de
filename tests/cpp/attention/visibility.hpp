// Which keys are visible to a query, one pair at a time, directly from the definition.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "attention/problem/minus_infinity.hpp"
#include "attention/problem/problem.hpp"
#include "tensor.hpp"

namespace heedful {

using Wide = __int128;  // no sum of positions overflows it

inline bool in_window(const Problem& problem, const Item& item, std::ptrdiff_t query,
                      std::ptrdiff_t key) {
  const Wide position = static_cast<Wide>(query) + item.offset;
  return key < item.keys && (problem.left < 0 || key >= position - problem.left) &&
         (problem.right < 0 || key <= position + problem.right);
}

inline bool in_block(const BlockMask& mask, std::ptrdiff_t item, std::ptrdiff_t head,
                     std::ptrdiff_t query, std::ptrdiff_t key) {
  const std::ptrdiff_t rows = mask.block_queries, columns = mask.block_keys;
  std::int32_t kind = 0;
  std::memcpy(&kind,
              mask.kinds.data + mask.kinds.item_offsets[item] + head * mask.kinds.head_stride +
                  query / rows * mask.kinds.row_stride + key / columns * mask.kinds.column_stride,
              sizeof(kind));
  if (kind < 2) return kind == 1;
  const std::ptrdiff_t bytes = (columns + 7) / 8, bit = key % columns;
  return (mask.patterns[((kind - 2) * rows + query % rows) * bytes + bit / 8] >> bit % 8 & 1) != 0;
}

inline bool is_visible(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                       std::ptrdiff_t query, std::ptrdiff_t key) {
  if (!in_window(problem, problem.items[item], query, key)) return false;
  if (problem.exclude_self && key == query + problem.items[item].offset) return false;
  if (problem.block_mask && !in_block(problem.block_mask, item, head, query, key)) return false;
  if (problem.mask && element(problem.mask, item, head, query, key) == 0) return false;
  return !problem.bias || element(problem.bias, item, head, query, key) != minus_infinity<double>;
}

}  // namespace heedful
