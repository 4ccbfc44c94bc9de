// Interrupts of computations that consist of many calls of parallel_for, each too short to check.
#pragma once

#include <chrono>

#include "parallel/parallel_for.hpp"

namespace heedful {

class InterruptCheck {
 public:
  explicit InterruptCheck(const Team& team) : team_(team) {}

  // Between two calls: throws if the caller wants to stop, which is checked every 50 ms.
  void check() {
    if (team_.interrupted == nullptr || Clock::now() < next_) return;
    if (team_.interrupted()) throw Interrupted();
    next_ = Clock::now() + std::chrono::milliseconds(50);
  }

 private:
  using Clock = std::chrono::steady_clock;

  const Team& team_;
  Clock::time_point next_ = Clock::now() + std::chrono::milliseconds(50);
};

}  // namespace heedful
