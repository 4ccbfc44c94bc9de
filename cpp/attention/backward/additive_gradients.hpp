// What the gradients of additive scores make of those before them, for a panel of queries and a
// tile of keys, with t = tanh(query + key):
//   dquery[e][lane] = weight[e] · Σ_key  dscore[key][lane] · (1 − t²)
//   dkey[key][e]   += weight[e] · Σ_lane dscore[key][lane] · (1 − t²)
//   dweight[e]     += Σ_key Σ_lane dscore[key][lane] · t
// Each t is computed once more and forgotten, so that memory stays linear in the lengths.
#pragma once

#include "attention/scores/additive_scores.hpp"

namespace heedful {

template <class T>
struct AdditiveGradients {
  T* dscores;             // (keys, lanes); set to 0 in lanes that stand for no row
  T* dquery;              // (E, lanes), written
  T* dkey;                // (keys, E up to whole vectors), added to
  double* dscore_vector;  // (E), added to
  bool guard;             // a tanh may be NaN where a dscore is 0, and then counts for nothing
};

template <class T>
void additive_gradients(const AdditiveTile<T>& tile, const Panel<T>& panel,
                        const AdditiveGradients<T>& gradients);

}  // namespace heedful
