// Computes one task of the backward pass. See backward.hpp.
#pragma once

#include <cstddef>

#include "attention/backward/call.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

template <class T>
std::size_t backward_scratch(const BackwardCall<T>& call);

// `next`: the task that this thread is likely to execute next, to prefetch its rows; null if there
// is none.
template <class T>
void backward(const BackwardCall<T>& call, const BackwardTask& task, const BackwardTask* next,
              Worker& worker);

}  // namespace heedful
