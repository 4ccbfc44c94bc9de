// One parallel_for under way: the next task, the stop flag, the first exception, the caller's
// clock.
#pragma once

#include <cfenv>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "parallel/parallel_for.hpp"
#include "parallel/scratch.hpp"

namespace heedful {

class Region {
 public:
  Region(std::ptrdiff_t tasks, const Team& team, const WorkAreas& areas, detail::Body body,
         const void* function);
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;

  // The region that the calling thread is computing for, nullptr outside.
  static Region* current() noexcept;

  // Whether a region may not open a team here: inside a task, or in what team.interrupted runs.
  static bool is_serial_here() noexcept;

  // Does tasks until there are none or the region is stopped. Never throws: what a task throws is
  // kept.
  void work(int thread, bool is_caller) noexcept;

  // Does tasks with the settings of the caller's floating-point unit (rounding, subnormals), which
  // may have changed since the team's threads were started.
  void work_like_caller(int thread) noexcept;

  // Does the given tasks as a part of the calling thread's task.
  static void work_inside(std::ptrdiff_t tasks, const WorkAreas& areas, detail::Body body,
                          const void* function);

  // Waits until all `threads` threads have left work(), asking the caller meanwhile.
  void wait_for(int threads);

  // Asks the caller whether to go on when 50 ms have passed since it was last asked. On the calling
  // thread only.
  void poll() noexcept;

  bool is_stopped() const noexcept { return stopped_.load(std::memory_order_relaxed); }

  // Throws the first exception, once all have left work().
  void rethrow() const;

 private:
  using Clock = std::chrono::steady_clock;

  void stop(std::exception_ptr reason) noexcept;

  const std::ptrdiff_t tasks_;
  const Team team_;
  const WorkAreas& areas_;
  const detail::Body body_;
  const void* const function_;
  Clock::time_point next_poll_;
  std::fenv_t floating_point_;
  std::exception_ptr failure_;  // written once, by the thread that set stopped_

  alignas(64) std::atomic<std::ptrdiff_t> next_task_{0};
  alignas(64) std::atomic<bool> stopped_{false};

  alignas(64) std::atomic<int> finished_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
};

}  // namespace heedful
