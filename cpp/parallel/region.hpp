// One running parallel_for: the next task, the stop flag, the first exception, the time of the
// caller's next poll.
#pragma once

#include <cfenv>
#include <chrono>

#include "parallel/parallel_for.hpp"
#include "parallel/scratch.hpp"

namespace heedful {

struct OpenMpLibrary;

class Region {
 public:
  Region(std::ptrdiff_t tasks, const Team& team, const ThreadScratch& scratch, detail::Body body,
         const void* function)
      : tasks_(tasks), team_(team), scratch_(scratch), body_(body), function_(function) {}
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // The region whose task the calling thread is executing, nullptr outside.
  static Region* current() noexcept;

  // Whether a region here must run serially: inside a task, or in code that team.interrupted runs.
  static bool is_serial_here() noexcept;

  // Executes all tasks on the calling thread. Exceptions of tasks propagate at once.
  void run_serial();

  // Executes all tasks on the calling thread and the workers that join, of the pool or of the
  // calling thread's OpenMP team; rethrows the first exception when all have left.
  void run_parallel();

  // Executes tasks on a worker thread, in the caller's floating-point environment (rounding,
  // subnormals).
  void run_on_worker(int thread) noexcept;

  // Executes the given tasks as a part of the calling thread's task.
  static void run_nested(std::ptrdiff_t tasks, const ThreadScratch& scratch, detail::Body body,
                         const void* function);

  // Calls team.interrupted if 50 ms have passed since the last call. On the calling thread only.
  void poll() noexcept;

  bool is_stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }

  // Whether a worker that joins could still find a task.
  bool has_tasks() const noexcept {
    return next_task_.load(std::memory_order_relaxed) < tasks_ && !is_stopped();
  }

 private:
  using Clock = std::chrono::steady_clock;

  Worker worker(int thread, bool is_caller) noexcept;
  void run_in_pool();
  void run_in_team(const OpenMpLibrary& library);
  void run_tasks(int thread, bool is_caller) noexcept;
  void stop(std::exception_ptr reason) noexcept;

  const std::ptrdiff_t tasks_;
  const Team team_;
  const ThreadScratch& scratch_;
  const detail::Body body_;
  const void* const function_;
  Clock::time_point next_poll_{};  // the epoch: the clock has not been read yet
  bool parallel_ = false;          // the caller has asked for workers,
  int generation_ = 0;             // in this generation of processes
  std::fenv_t floating_point_;
  std::exception_ptr failure_;  // written once, by the thread that set stopped_

  alignas(64) std::atomic<std::ptrdiff_t> next_task_{0};
  alignas(64) std::atomic<bool> stopped_{false};
};

}  // namespace heedful
