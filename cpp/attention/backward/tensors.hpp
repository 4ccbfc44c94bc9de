// The tensors of the backward pass; shapes and equations in backward.hpp.
#pragma once

#include <atomic>

#include "arrays/tensor_view.hpp"
#include "attention/backward/penalty/coefficients.hpp"

namespace heedful {

struct BackwardTensors {
  TensorView dout, query, key, value, out, lse, row_term, dweights;
  TensorView delta, dquery, dkey, dvalue, dbias;
  // Several items or heads add to the same elements of dbias, which has its own for every (query,
  // key).
  bool shared_dbias = false;
  Penalty penalty = {};             // of probabilities and scores; may be absent
  double* dscore_vector = nullptr;  // (Hkv or 1, E) like Problem::score_vector, zeros on entry
  std::atomic<bool>* overflowed = nullptr;  // set where a sum may not be finite
};

}  // namespace heedful
