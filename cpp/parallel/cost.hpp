// What a call costs, known before it starts, and whether that is worth several threads.
#pragma once

#include "parallel/parallel_for.hpp"

namespace heedful {

// Counts of what the call does, in double, so that no product of sizes overflows. Measured on one
// core with AVX2 and with AVX-512, in nanoseconds each:
//   multiply_adds   of products                                                   0.015 to 0.04
//   reads           elements that are read for one or few multiply-adds each      0.05 to 0.1
//   elements        computed element by element: read, function applied, written  0.1 to 1
struct Cost {
  double multiply_adds = 0;
  double reads = 0;
  double elements = 0;

  static Cost of_elements(double count) { return {0, 0, count}; }

  // In multiply-adds, of which 30 take a nanosecond.
  double work() const { return multiply_adds + reads + 10 * elements; }
};

// Ten microseconds. Less stays on the calling thread: workers that are awake take one microsecond
// to join, those that sleep ten.
inline constexpr double threads_work = 300e3;

// The team, or the calling thread alone.
inline Team threads_for(const Cost& cost, const Team& team) {
  return {cost.work() < threads_work ? 1 : team.threads, team.interrupted};
}

}  // namespace heedful
