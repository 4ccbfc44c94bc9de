// Element-wise computations over contiguous elements, partitioned among the threads of a team.
#pragma once

#include <algorithm>
#include <cstddef>

#include "parallel/cost.hpp"

namespace heedful {

// Elements of a task: enough to be worth scheduling, few enough to check for Ctrl-C in between.
inline constexpr std::ptrdiff_t task_elements = 16384;

// Calls compute(begin, length) for chunks of [0, count), each of which begins at a multiple of
// task_elements.
template <class Compute>
void parallel_for_elements(std::ptrdiff_t count, const Team& team, const Compute& compute) {
  const std::ptrdiff_t tasks = (count + task_elements - 1) / task_elements;
  const Team size = threads_for(Cost::of_elements(static_cast<double>(count)), team);
  parallel_for(tasks, size, 0, [&](std::ptrdiff_t task, Worker&) {
    const std::ptrdiff_t begin = task * task_elements;
    compute(begin, std::min(task_elements, count - begin));
  });
}

}  // namespace heedful
