// The scores of additive attention (Bahdanau et al. 2015), for a panel of queries and a tile of
// keys:
//   score[key][lane] = Σ_e weight[e] · tanh(query[e][lane] + key[key][e])
// They stand where the products of dot-product attention would, and all that follows is the same.
// No array of (queries, keys, columns) exists: a tanh is added up as soon as it is there.
#pragma once

#include "arrays/rows.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

template <class T>
struct AdditiveTile {
  std::ptrdiff_t keys, columns;  // columns: E
  Rows<T> key_rows;              // (keys, E)
  const T* query_panel;          // (E, lanes)
  const T* score_vector;         // (E)
};

// scores (keys, lanes), written; maximum (lanes): raised to the greatest of each lane, may be null.
template <class T>
void additive_scores(const AdditiveTile<T>& tile, const Panel<T>& panel, T* scores, T* maximum);

template <class T>
AdditiveTile<T> additive_tile(const Problem& problem, const Panel<T>& panel, std::ptrdiff_t keys,
                              Rows<T> key_rows, const T* query_panel);

}  // namespace heedful
