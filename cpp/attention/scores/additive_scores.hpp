// The scores of additive attention (Bahdanau et al. 2015), for a query panel and a key tile:
//   score[key][lane] = Σ_e score_vector[e] · tanh(query[e][lane] + key[key][e])
// They replace the products of dot-product attention; all later steps are the same. There is no
// array of (queries, keys, columns): each tanh is added as soon as it is computed.
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

// scores (keys, lanes), written; maximum (lanes): updated with the maximum of each lane, may be
// null.
template <class T>
void additive_scores(const AdditiveTile<T>& tile, const Panel<T>& panel, T* scores, T* maximum);

template <class T>
AdditiveTile<T> additive_tile(const Problem& problem, const Panel<T>& panel, std::ptrdiff_t keys,
                              Rows<T> key_rows, const T* query_panel);

}  // namespace heedful
