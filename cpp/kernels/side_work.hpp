// Work on vectors that a kernel does between its tile products, a step at a time: the tile unit and
// the vector units compute at the same time, if their instructions alternate.
#pragma once

#include <algorithm>
#include <cstddef>

namespace heedful {

class SideWork {
 public:
  // `step` does one of `count` steps.
  SideWork(void (*step)(SideWork&), std::ptrdiff_t count) : step_(step), left_(count) {}

  // Spreads the steps over `turns` calls of next().
  void spread(std::ptrdiff_t turns) { per_turn_ = turns > 0 ? (left_ + turns - 1) / turns : left_; }
  void next() { run(std::min(per_turn_, left_)); }
  void finish() { run(left_); }

 private:
  void run(std::ptrdiff_t steps) {
    left_ -= steps;
    for (; steps > 0; --steps) step_(*this);
  }

  void (*step_)(SideWork&);
  std::ptrdiff_t left_, per_turn_ = 0;
};

}  // namespace heedful
