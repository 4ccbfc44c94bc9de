// Raw scores of a query panel and a key tile, of any kind:
//   raw[key][lane] = s(query, key), see score_kind.hpp
// score_tile.hpp applies the later steps. A new kind of score is a file like additive_scores.hpp,
// an entry in score_kind.hpp, and a case here and in the backward pass.
#pragma once

#include "arrays/rows.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

// key_rows (keys, D)   query_panel (D, lanes), scaled   scores (keys, lanes), written maximum
// (lanes): updated with the maximum of each lane; may be null, as may prefetch
template <class T>
void raw_scores(const Problem& problem, const Panel<T>& panel, std::ptrdiff_t keys,
                Rows<T> key_rows, const T* query_panel, T* scores, T* maximum,
                RowPrefetch* prefetch = nullptr);

}  // namespace heedful
