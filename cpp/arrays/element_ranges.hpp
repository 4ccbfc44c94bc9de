// A run of numbers, each computed by itself, shared out among the threads of a team.
#pragma once

#include <algorithm>
#include <cstddef>

#include "parallel/parallel_for.hpp"

namespace heedful {

// Numbers of a task: enough to be worth handing out, few enough to look for Ctrl-C in between.
inline constexpr std::ptrdiff_t task_numbers = 16384;

// Calls compute(begin, numbers) for pieces of the run, each of which begins at a multiple of
// task_numbers.
template <class Compute>
void in_number_tasks(std::ptrdiff_t count, const Team& team, const Compute& compute) {
  constexpr std::ptrdiff_t little = 2 * task_numbers;  // some microseconds
  const std::ptrdiff_t tasks = (count + task_numbers - 1) / task_numbers;
  const Team size{count < little ? 1 : team.threads, team.interrupted};
  parallel_for(tasks, size, 0, [&](std::ptrdiff_t task, Worker&) {
    const std::ptrdiff_t begin = task * task_numbers;
    compute(begin, std::min(task_numbers, count - begin));
  });
}

}  // namespace heedful
