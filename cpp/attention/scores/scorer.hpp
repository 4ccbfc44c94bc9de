// Scores of a panel of queries and a tile of keys as they begin, of whatever kind:
//   raw[key][lane] = s(query, key), see score_kind.hpp
// score_tile.hpp lays on them what follows. A new kind of score is a file like additive_scores.hpp,
// an entry in score_kind.hpp, and a case here and where the backward pass takes it back.
#pragma once

#include "arrays/rows.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

// key_rows (keys, D)   query_panel (D, lanes), scaled   scores (keys, lanes), written
// maximum (lanes): raised to the greatest of each lane; may be null
template <class T>
void raw_scores(const Problem& problem, const Panel<T>& panel, std::ptrdiff_t keys,
                Rows<T> key_rows, const T* query_panel, T* scores, T* maximum);

}  // namespace heedful
