// Attention of few rows, as in decoding: the query heads that share a key/value head process its
// keys and values together, so each byte of them is read once. A panel of so few queries would
// leave most lanes empty, so here the lanes run over the depth: scores are dot products, and
// out += weight · value row by row. A task has several key/value heads if their rows alternate in
// memory.
#pragma once

#include "attention/problem/row_task.hpp"
#include "attention/softmax/key_split.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

template <class T>
std::size_t decode_scratch(const ForwardCall<T>& call);

// Stores the states of the rows in `splits`, or their results if that is nullptr.
// memory: decode_scratch bytes.
template <class T>
void decode(const ForwardCall<T>& call, const RowTask& task, KeySplits<T>* splits, Worker& worker,
            std::byte* memory);

}  // namespace heedful
