// Gradients of attention to the problem's top_k keys, as in backward/backward.hpp, through the kept
// keys alone: which keys are kept is a constant.
//   kept (B, H, Lq, top_k): those of top_k_forward
//
// First the rows: a task has some query rows, and from the rows of key and value that they kept
// computes probabilities and score gradients, dquery, and a dbias that has a row for each query
// (row_gradients.hpp). Then the keys: a task has a range of keys of one key/value head, and adds
// what the rows that kept them contribute to dkey and dvalue, in the order of the rows
// (key_gradients.hpp). So no two tasks write to the same elements, and the bits are the same for
// any number of threads. Between the two, top_k probabilities and score gradients are stored for
// each row: so a wave computes only some heads at a time, of a few megabytes, or one.
#pragma once

#include "attention/backward/tensors.hpp"
#include "attention/problem/problem.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

template <class T>
void top_k_backward(const Problem& problem, const BackwardTensors& tensors, const TensorView& kept,
                    const Team& team);

}  // namespace heedful
