// The term that all score gradients of a row share: delta = Σ_d dout ∘ out − row_term.
#pragma once

#include <cstddef>

#include "attention/backward/partition/partition.hpp"
#include "attention/backward/tensors.hpp"
#include "attention/problem/problem.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

// Writes delta of the array rows [first, first + count) of one head. `buffer` has room for two rows
// padded to whole vectors.
template <class T>
void write_delta(const BackwardTensors& tensors, std::ptrdiff_t value_depth, std::ptrdiff_t item,
                 std::ptrdiff_t head, std::ptrdiff_t first, std::ptrdiff_t count, T* buffer);

// Writes delta of all rows, except of items with one key tile, whose tasks write it themselves.
template <class T>
void write_deltas(const Problem& problem, const BackwardTensors& tensors,
                  const BackwardPartition<T>& partition, const Team& team);

}  // namespace heedful
