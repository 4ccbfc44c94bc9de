// Dropout of a run of numbers:
//   y[n] = (kept(n) ? x[n] / (1 − p) : 0) + residual[n]
// Whether a number is kept depends on the seed and its place n alone. So the gradient is the same
// function of dy, nobody needs to keep a mask, and the bits are those of any number of threads.
//   Philox counter (n / 64, n mod 16, 0, n / 2^38); word (n / 16) mod 4 decides:
//   kept when word ≥ p · 2^32. p = 1 keeps nothing.
// Of 64 numbers 16 counters decide, each about four that lie 16 apart: with vectors of 4, 8 and 16
// words alike, the words then come out in the order of the numbers, and none has to be moved.
#pragma once

#include <cstddef>
#include <cstdint>

#include "parallel/parallel_for.hpp"

namespace heedful {

struct Dropout {
  double p;
  std::uint64_t seed;
};

// What x holds where it is dropped changes nothing, NaN included. residual may be none, and y may
// be x or residual.
template <class T>
void drop_numbers(const Dropout& dropout, const T* x, const T* residual, T* y, std::ptrdiff_t count,
                  const Team& team);

}  // namespace heedful
