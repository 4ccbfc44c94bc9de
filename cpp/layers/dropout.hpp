// Dropout over contiguous elements:
//   y[n] = (kept(n) ? x[n] / (1 − p) : 0) + residual[n]
// Whether an element is kept depends on the seed and its index n alone. So the gradient is the same
// function of dy, no mask has to be stored, and the bits are the same for any number of threads.
//   Philox counter (n / 64, n mod 16, 0, n / 2^38); u is word (n / 16) mod 4 of its output:
//   kept if u ≥ p · 2^32. With p = 1 no element is kept.
// A block of 64 elements takes 16 counters, each for four elements that are 16 apart: with vectors
// of 4, 8 and 16 words alike, the words are then generated in the order of the elements, without a
// shuffle.
#pragma once

#include <cstddef>
#include <cstdint>

#include "parallel/parallel_for.hpp"

namespace heedful {

struct Dropout {
  double p;
  std::uint64_t seed;
};

// Dropped elements of x have no effect, NaN included. residual may be nullptr, and y may be x or
// residual.
template <class T>
void apply_dropout(const Dropout& dropout, const T* x, const T* residual, T* y,
                   std::ptrdiff_t count, const Team& team);

}  // namespace heedful
