// A run of numbers, each computed by itself, shared out among the threads of a team.
#pragma once

#include <algorithm>
#include <cstddef>

#include "parallel/cost.hpp"

namespace heedful {

// Numbers of a task: enough to be worth handing out, few enough to look for Ctrl-C in between.
inline constexpr std::ptrdiff_t task_numbers = 16384;

// Calls compute(begin, numbers) for pieces of the run, each of which begins at a multiple of
// task_numbers.
template <class Compute>
void in_number_tasks(std::ptrdiff_t count, const Team& team, const Compute& compute) {
  const std::ptrdiff_t tasks = (count + task_numbers - 1) / task_numbers;
  const Team size = threads_for(Cost::of_elements(static_cast<double>(count)), team);
  parallel_for(tasks, size, 0, [&](std::ptrdiff_t task, Worker&) {
    const std::ptrdiff_t begin = task * task_numbers;
    compute(begin, std::min(task_numbers, count - begin));
  });
}

}  // namespace heedful
