// The gradients of additive scores for a query panel and a key tile, with t = tanh(query + key):
//   dquery[e][lane]   = score_vector[e] · Σ_key  dscore[key][lane] · (1 − t²)
//   dkey[key][e]     += score_vector[e] · Σ_lane dscore[key][lane] · (1 − t²)
//   dscore_vector[e] += Σ_key Σ_lane dscore[key][lane] · t
// Each t is recomputed and not stored, so that memory stays linear in the lengths.
#pragma once

#include "attention/scores/additive_scores.hpp"

namespace heedful {

template <class T>
struct AdditiveGradients {
  T* dscores;             // (keys, lanes); set to 0 in padding lanes
  T* dquery;              // (E, lanes), written
  T* dkey;                // (keys, E padded to whole vectors), accumulated
  double* dscore_vector;  // (E), accumulated
  bool guard;             // a tanh may be NaN where a dscore is 0, and is then ignored
};

template <class T>
void additive_gradients(const AdditiveTile<T>& tile, const Panel<T>& panel,
                        const AdditiveGradients<T>& gradients);

}  // namespace heedful
