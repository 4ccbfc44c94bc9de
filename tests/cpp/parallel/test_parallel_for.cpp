// parallel_for: every task once, in order, on the team; exceptions, interruption, waiting in
// order and nesting.
#include <algorithm>
#include <cfenv>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Waits in a task for other threads, 10 s at most.
template <class Condition>
void wait_until(const Condition& holds, Worker& worker) {
  const auto start = Clock::now();
  while (!holds() && seconds_since(start) < 10) {
    worker.check();
    std::this_thread::yield();
  }
}

void every_task_runs_once_and_they_start_in_increasing_order() {
  for (const int threads : {1, 2, 3, 7}) {
    std::mutex mutex;
    std::vector<std::vector<std::ptrdiff_t>> tasks_of_thread;
    std::vector<std::thread::id> ids;
    std::vector<int> runs(97, 0);
    parallel_for(97, Team{threads, nullptr}, 0, [&](std::ptrdiff_t task, Worker&) {
      const std::lock_guard lock(mutex);
      ++runs[static_cast<std::size_t>(task)];
      const auto id = std::this_thread::get_id();
      auto place = std::find(ids.begin(), ids.end(), id);
      if (place == ids.end()) {
        ids.push_back(id);
        tasks_of_thread.emplace_back();
        place = ids.end() - 1;
      }
      tasks_of_thread[static_cast<std::size_t>(place - ids.begin())].push_back(task);
    });
    check(std::all_of(runs.begin(), runs.end(), [](int n) { return n == 1; }),
          "each task runs once");
    check(std::all_of(tasks_of_thread.begin(), tasks_of_thread.end(),
                      [](const auto& tasks) { return std::is_sorted(tasks.begin(), tasks.end()); }),
          "each thread gets its tasks in increasing order");
    check(ids.size() <= static_cast<std::size_t>(threads), "no more threads than the team has");
    check(threads > 1 || ids.front() == std::this_thread::get_id(),
          "a team of one is the calling thread");
  }
}

void no_tasks_means_no_work() {
  bool ran = false;
  for (const std::ptrdiff_t tasks : {0, -3}) {
    parallel_for(tasks, Team{2, nullptr}, 64, [&](std::ptrdiff_t, Worker&) { ran = true; });
  }
  check(!ran, "nothing runs when there is no task");
}

void a_thread_that_is_done_takes_the_next_task() {
  // Task 0 ends only when all others have run, so another thread must have taken every one of them.
  std::atomic<int> others{0};
  bool all_ran = false;
  parallel_for(29, Team{2, nullptr}, 0, [&](std::ptrdiff_t task, Worker& worker) {
    if (task > 0) {
      ++others;
      return;
    }
    wait_until([&] { return others == 28; }, worker);
    all_ran = others == 28;
  });
  check(all_ran, "tasks are handed out one at a time, to any idle thread");
}

void the_team_has_the_requested_size_even_with_few_tasks() {
  std::atomic<int> arrived{0};
  std::atomic<int> waited_in_vain{0};
  parallel_for(5, Team{5, nullptr}, 0, [&](std::ptrdiff_t, Worker& worker) {
    ++arrived;
    wait_until([&] { return arrived == 5; }, worker);
    if (arrived < 5) ++waited_in_vain;
  });
  check(waited_in_vain == 0,
        "five threads work at the same time, however many processors there are");
}

void an_exception_propagates_and_wakes_waiting_tasks() {
  for (const int threads : {1, 2, 5}) {
    const std::atomic<std::ptrdiff_t> never{0};
    std::atomic<int> ran{0};
    bool caught = false;
    const auto start = Clock::now();
    try {
      parallel_for(1000, Team{threads, nullptr}, 0, [&](std::ptrdiff_t task, Worker& worker) {
        ++ran;
        if (task == 0) {
          if (threads > 1) std::this_thread::sleep_for(milliseconds(50));  // let the others wait
          throw std::runtime_error("task 0");
        }
        worker.wait(never, 1);
      });
    } catch (const std::runtime_error& error) {
      caught = std::string(error.what()) == "task 0";
    }
    check(caught, "the first exception is rethrown by parallel_for");
    check(seconds_since(start) < 5, "tasks that wait for another one are woken");
    check(ran <= threads, "no task starts after an exception");
    int after = 0;
    parallel_for(1, Team{threads, nullptr}, 0, [&](std::ptrdiff_t, Worker&) { ++after; });
    check(after == 1, "the next region works");
  }
}

void check_ends_a_task_after_another_one_failed() {
  bool caught = false;
  std::atomic<bool> left{false};
  try {
    parallel_for(2, Team{2, nullptr}, 0, [&](std::ptrdiff_t task, Worker& worker) {
      if (task == 1) throw std::runtime_error("task 1");
      const auto start = Clock::now();
      try {
        while (seconds_since(start) < 10) worker.check();
      } catch (...) {
        left = true;
        throw;
      }
    });
  } catch (const std::runtime_error&) {
    caught = true;
  }
  check(left && caught,
        "check() throws in the others, and their exception is not the one that is rethrown");
}

void tasks_can_wait_in_order() {
  constexpr std::ptrdiff_t tasks = 301;
  for (const int threads : {1, 2, 5}) {
    std::atomic<std::ptrdiff_t> next{0};
    std::vector<std::ptrdiff_t> order;  // needs no lock: tasks wait for each other
    parallel_for(tasks, Team{threads, nullptr}, 0, [&](std::ptrdiff_t task, Worker& worker) {
      worker.wait(next, task);
      order.push_back(task);
      next.store(task + 1, std::memory_order_release);
    });
    bool in_order = order.size() == static_cast<std::size_t>(tasks);
    for (std::size_t place = 0; in_order && place < order.size(); ++place) {
      in_order = order[place] == static_cast<std::ptrdiff_t>(place);
    }
    check(in_order, "tasks that wait for the one before run in order");
  }
}

void a_region_in_a_task_is_serial_and_part_of_the_task() {
  std::atomic<int> inner_runs{0};
  std::atomic<bool> elsewhere{false};
  std::atomic<bool> shares_memory{false};
  parallel_for(7, Team{3, nullptr}, 64, [&](std::ptrdiff_t, Worker& outer) {
    const auto thread = std::this_thread::get_id();
    parallel_for(11, Team{3, nullptr}, 64, [&](std::ptrdiff_t, Worker& inner) {
      ++inner_runs;
      if (std::this_thread::get_id() != thread) elsewhere = true;
      if (inner.scratch == outer.scratch) shares_memory = true;
    });
  });
  check(inner_runs == 7 * 11, "all nested tasks run");
  check(!elsewhere, "nested tasks run on the thread of the task around them");
  check(!shares_memory, "a nested region has scratch of its own");

  bool caught = false;
  const auto start = Clock::now();
  try {
    parallel_for(2, Team{2, nullptr}, 0, [&](std::ptrdiff_t task, Worker&) {
      if (task == 1) throw std::runtime_error("outer");
      parallel_for(1000, Team{2, nullptr}, 0,
                   [](std::ptrdiff_t, Worker&) { std::this_thread::sleep_for(milliseconds(10)); });
    });
  } catch (const std::runtime_error&) {
    caught = true;
  }
  check(caught && seconds_since(start) < 5, "a stop of the outer region ends the nested one");
}

void scratch_is_aligned_and_separate() {
  constexpr std::size_t bytes = 1000;
  std::mutex mutex;
  std::set<std::byte*> areas;
  std::atomic<int> arrived{0};
  std::atomic<bool> intact{true};
  parallel_for(3, Team{3, nullptr}, bytes, [&](std::ptrdiff_t task, Worker& worker) {
    std::fill_n(worker.scratch, bytes, static_cast<std::byte>(task + 1));
    ++arrived;
    wait_until([&] { return arrived == 3; }, worker);
    if (!std::all_of(worker.scratch, worker.scratch + bytes,
                     [&](std::byte byte) { return byte == static_cast<std::byte>(task + 1); })) {
      intact = false;
    }
    const std::lock_guard lock(mutex);
    areas.insert(worker.scratch);
  });
  check(areas.size() == 3 && intact, "each thread has its own scratch");
  for (std::byte* area : areas) {
    check(reinterpret_cast<std::uintptr_t>(area) % 64 == 0, "scratch is aligned to 64 bytes");
  }
  for (auto area = areas.begin(); std::next(area) != areas.end(); ++area) {
    check(*std::next(area) - *area >= 1024, "no two threads share a cache line");
    check((*std::next(area) - *area) % 4096 != 0, "scratch starts at different offsets in a page");
  }
}

void all_threads_compute_like_the_caller() {
  // the team's threads exist by now: they have not inherited the mode
  std::atomic<int> arrived{0};
  std::atomic<int> upward{0};
  std::fesetround(FE_UPWARD);
  parallel_for(3, Team{3, nullptr}, 0, [&](std::ptrdiff_t, Worker& worker) {
    if (std::fegetround() == FE_UPWARD) ++upward;
    ++arrived;
    wait_until([&] { return arrived == 3; }, worker);
  });
  std::fesetround(FE_TONEAREST);
  check(upward == 3, "every thread rounds as the caller does");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  every_task_runs_once_and_they_start_in_increasing_order();
  no_tasks_means_no_work();
  a_thread_that_is_done_takes_the_next_task();
  the_team_has_the_requested_size_even_with_few_tasks();
  an_exception_propagates_and_wakes_waiting_tasks();
  check_ends_a_task_after_another_one_failed();
  tasks_can_wait_in_order();
  a_region_in_a_task_is_serial_and_part_of_the_task();
  scratch_is_aligned_and_separate();
  all_threads_compute_like_the_caller();
  return summary();
}
