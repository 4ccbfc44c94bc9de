// One parallel_for under way: the next task, the stop flag, the first exception, the caller's
// clock.
#pragma once

#include <cfenv>
#include <chrono>

#include "parallel/parallel_for.hpp"
#include "parallel/scratch.hpp"

namespace heedful {

class Region {
 public:
  Region(std::ptrdiff_t tasks, const Team& team, const WorkAreas& areas, detail::Body body,
         const void* function)
      : tasks_(tasks), team_(team), areas_(areas), body_(body), function_(function) {}
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // The region that the calling thread is computing for, nullptr outside.
  static Region* current() noexcept;

  // Whether a region may not have helpers here: inside a task, or in what team.interrupted runs.
  static bool is_serial_here() noexcept;

  // Does all tasks on the calling thread. What a task throws comes straight out.
  void work_alone();

  // Does all tasks on the calling thread and the helpers that come; the first exception comes out
  // when all have left.
  void work_together();

  // Does tasks on another thread, with the settings of the caller's floating-point unit (rounding,
  // subnormals).
  void help(int area) noexcept;

  // Does the given tasks as a part of the calling thread's task.
  static void work_inside(std::ptrdiff_t tasks, const WorkAreas& areas, detail::Body body,
                          const void* function);

  // Asks the caller whether to go on when 50 ms have passed since it was last asked. On the calling
  // thread only.
  void poll() noexcept;

  bool is_stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }

  // Whether a helper could still find something to do.
  bool has_tasks() const noexcept {
    return next_task_.load(std::memory_order_relaxed) < tasks_ && !is_stopped();
  }

 private:
  using Clock = std::chrono::steady_clock;

  Worker worker(int area, bool is_caller) noexcept;
  void work(int area, bool is_caller) noexcept;
  void stop(std::exception_ptr reason) noexcept;

  const std::ptrdiff_t tasks_;
  const Team team_;
  const WorkAreas& areas_;
  const detail::Body body_;
  const void* const function_;
  Clock::time_point next_poll_{};  // the beginning of time: the clock has not been read yet
  bool together_ = false;          // the caller has invited helpers,
  int generation_ = 0;             // in this generation of processes
  std::fenv_t floating_point_;
  std::exception_ptr failure_;  // written once, by the thread that set stopped_

  alignas(64) std::atomic<std::ptrdiff_t> next_task_{0};
  alignas(64) std::atomic<bool> stopped_{false};
};

}  // namespace heedful
