// The gradients that a row (a query of one head) computes from its kept keys:
//   probability = exp(score − lse)     dprobability = dout · value + dweights
//   dscore = probability ∘ (dprobability − delta)     dquery = scale · Σ_key dscore key
// and delta, and dbias where each query has its own row of it.
#pragma once

#include <cstddef>

#include "arrays/gathered_rows.hpp"
#include "arrays/work_area.hpp"
#include "attention/backward/top_k/wave.hpp"
#include "kernels/row_vectors.hpp"

namespace heedful {

template <class T>
struct RowScratch {
  WorkArea area;
  GatheredRows<T> key_rows, value_rows;
  RowVectors<T> key_vectors, value_vectors;  // of D and Dv
  T* row;                                    // two rows of D or Dv, padded
  T* query;                                  // (D), as vectors, scaled
  T* dout;                                   // (Dv), as vectors
  T* dquery;                                 // (D), as vectors
  // of the kept keys, (top_k) with room for whole vectors
  T* scores;
  T* buffer;
  T* cap_derivative;
  T* keep_factors;  // of dropout: 0 or 1 / (1 − p); null without
  T* dprobabilities;
  T* probabilities;  // after dropout
  T* dscores;
  T* dproducts;

  RowScratch(const TopKBackward<T>& call, std::byte* memory);
};

template <class T>
void write_row_gradients(const TopKBackward<T>& call, const Wave<T>& wave, std::ptrdiff_t kv_head,
                         std::ptrdiff_t row, const RowScratch<T>& scratch);

}  // namespace heedful
