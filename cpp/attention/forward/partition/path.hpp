// Which of the two loop nests computes an item. The choice depends on the item's own shape alone,
// because their bits differ.
//
//             lanes run over    keys and values are read
//   decode    the depth         once for all rows, in memory order, from memory
//   prefill   queries           once per panel, a tile at a time, from L2
#pragma once

#include "attention/forward/decode/decode.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

enum class Path : unsigned char { decode, prefill };

template <class T>
Path choose_path(const Problem& problem, const Item& item) {
  if (!traits_of(problem.score_kind).in_rows) return Path::prefill;
  // few rows leave most lanes of a panel empty, and their time is dominated by reading keys and
  // values
  if (problem.group() * item.queries <= decode_rows<T>) return Path::decode;
  return Path::prefill;
}

}  // namespace heedful
