// Weighted sums that overflow although the weighted mean, which is the result, is within the range
// of the values: the sum is divided by the sum of weights only at the end. The forward pass checks
// its sums; where one is not finite, the rows are recomputed from values scaled down by a power of
// two. That is rare, so it is slow and simple. NaN and ∞ among the values propagate as before:
// scaling does not change their products.
#pragma once

#include <atomic>
#include <cstddef>

#include "arrays/rows.hpp"
#include "attention/problem/row_task.hpp"
#include "kernels/nonfinite.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

// Records whether any of (count, columns) sums is not finite, where no processor flag reports it:
// see OverflowFlag.
template <class T>
void record_overflow(const ForwardCall<T>& call, Rows<T> sums, std::ptrdiff_t count,
                     std::ptrdiff_t columns) {
  if (call.overflowed && !all_finite(sums, count, columns)) {
    call.overflowed->store(true, std::memory_order_relaxed);
  }
}

// Recomputes the elements of out that are not finite, where a sum may have overflowed.
template <class T>
void recompute_overflow(const ForwardCall<T>& call, const Team& team);

}  // namespace heedful
