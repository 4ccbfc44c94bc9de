// Weighted sums that pass the largest finite number, though the weighted mean, which is the result,
// lies within the range of the values: the sum is divided by that of the weights only at the end.
// The forward pass looks at what it has summed; where something is not finite, the rows are
// computed once more from values that are smaller by a power of two. That is rare, so it is slow
// and simple. What NaN and ∞ among the values lead to stays as it is: their products do not change.
#pragma once

#include <atomic>
#include <cstddef>

#include "arrays/rows.hpp"
#include "attention/problem/row_task.hpp"
#include "kernels/nonfinite.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

// Remembers that something of (count, columns) sums is not finite, where no flag of the processor
// tells it: see OverflowFlag.
template <class T>
void record_overflow(const ForwardCall<T>& call, Rows<T> sums, std::ptrdiff_t count,
                     std::ptrdiff_t columns) {
  if (call.overflowed && !all_finite(sums, count, columns)) {
    call.overflowed->store(true, std::memory_order_relaxed);
  }
}

// Computes those elements of out once more that are not finite, where a sum may have overflowed.
template <class T>
void recompute_overflow(const ForwardCall<T>& call, const Team& team);

}  // namespace heedful
