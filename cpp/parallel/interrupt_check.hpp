// Computations made of many parallel_for, each too short to ask its caller whether to go on.
#pragma once

#include <chrono>

#include "parallel/parallel_for.hpp"

namespace heedful {

class Patience {
 public:
  explicit Patience(const Team& team) : team_(team) {}

  // Between two of them: throws when the caller wants to stop, asked every 50 ms.
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
