// Weighted sums that pass the largest finite number, though the weighted mean, which is the result,
// lies within the range of the values: the sum is divided by that of the weights only at the end.
// The forward pass looks at what it has summed; where something is not finite, the rows are
// computed once more from values that are smaller by a power of two. That is rare, so it is slow
// and simple. What NaN and ∞ among the values lead to stays as it is: their products do not change.
#pragma once

#include <atomic>
#include <cmath>
#include <cstddef>
#include <limits>

#include "arrays/rows.hpp"
#include "attention/problem/row_task.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

// Remembers that something of (count, columns) sums is not finite, where no flag of the processor
// tells it: see OverflowFlag.
template <class T>
void watch_overflow(const ForwardCall<T>& call, Rows<T> sums, std::ptrdiff_t count,
                    std::ptrdiff_t columns) {
  if (call.overflowed && !all_finite(sums, count, columns)) {
    call.overflowed->store(true, std::memory_order_relaxed);
  }
}

// Room for 2^64 values in a sum. What a value of less than 2^−64 times the largest one loses is
// below the rounding of the sum.
template <class T>
inline constexpr T value_shrink = T(1) / T(18446744073709551616.0);

// A mean of values that were shrunk. Rounding may take it past `largest`, the largest number of the
// type of the values, unless dropout has made it larger than they are.
template <class T>
T grown_mean(T shrunk, T largest, bool within) {
  const T mean = shrunk / value_shrink<T>;
  if (!within || !std::isfinite(shrunk) || std::abs(mean) <= largest) return mean;
  return mean < 0 ? -largest : largest;
}

// The largest finite number of a type, as T.
template <class T>
T largest_number(ElementType type) {
  if (type == ElementType::float16) return T(65504);
  if (type == ElementType::bfloat16) return T(3.3895313892515355e38);
  if (type == ElementType::float32) return static_cast<T>(std::numeric_limits<float>::max());
  return std::numeric_limits<T>::max();
}

// Computes those elements of out once more that are not finite, where a sum may have overflowed.
template <class T>
void recompute_overflow(const ForwardCall<T>& call, const Team& team);

}  // namespace heedful
