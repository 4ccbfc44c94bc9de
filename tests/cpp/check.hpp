// The assertions of the C++ tests: a condition and the sentence that says what should hold.
#pragma once

#include <atomic>
#include <cmath>
#include <cstdio>

namespace heedful {

// How many sentences were checked and how many do not hold. Tasks on several threads may check at
// once.
struct Tally {
  std::atomic<int> checked{0};
  std::atomic<int> failed{0};
};

inline Tally tally;

// States that the condition holds. Returns it, so that a test can stop where continuing makes no
// sense.
inline bool check(bool condition, const char* sentence) {
  ++tally.checked;
  if (!condition) {
    ++tally.failed;
    std::printf("does not hold: %s\n", sentence);
  }
  return condition;
}

// States that |actual − expected| ≤ tolerance. Equal infinities are close; NaN is close to nothing.
inline bool close(double actual, double expected, double tolerance, const char* sentence) {
  const bool holds = actual == expected || std::abs(actual - expected) <= tolerance;
  if (!holds) std::printf("got %.17g, expected %.17g within %.3g\n", actual, expected, tolerance);
  return check(holds, sentence);
}

// The last line of every main: `return summary();`. A test that checked nothing has failed.
inline int summary() {
  const int checked = tally.checked;
  const int failed = tally.failed;
  std::printf("%d of %d statements hold\n", checked - failed, checked);
  return failed == 0 && checked > 0 ? 0 : 1;
}

}  // namespace heedful
