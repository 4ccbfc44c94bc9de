// Output and probabilities from one product of queries and keys: prefill, with the weights of all
// key tiles kept until the sums of their rows are known. With m_t for the running maximum after
// tile t, and m, l for maximum and sum after the last one (prefill/tile_step.hpp):
//   P_t = 2^(S − m_t)                         kept, [key][lane]
//   probabilities = P_t 2^(m_t − m) / l       averaged: += … / H, the heads in order
// So out and lse have the bits of attention_forward.
#pragma once

#include "arrays/tensor_view.hpp"
#include "attention/forward/partition/partition.hpp"
#include "attention/problem/row_task.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

// Whether an item can be computed so; otherwise attention_forward and attention_probabilities are
// faster, or use less memory. The choice depends on the item's own shape alone.
template <class T>
bool takes_one_pass(const Problem& problem, const Item& item, const ItemPartition& partition,
                    bool average_heads);

// The products are those of FloatProducts. `probabilities` are zeros on entry, of one head if the
// heads are averaged.
template <class T>
void one_pass(const ForwardCall<T>& call, const TensorView& probabilities, bool average_heads,
              const Team& team);

}  // namespace heedful
