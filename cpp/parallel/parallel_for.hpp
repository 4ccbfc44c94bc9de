// Tasks on all threads of a team: the one way in which heedful computes in parallel.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>

namespace heedful {

// Thrown out of parallel_for when the caller wants to stop (Ctrl-C); its reason is already recorded
// with the caller.
struct Interrupted : std::exception {
  const char* what() const noexcept override { return "interrupted"; }
};

// Who computes, and whom to ask whether to go on.
struct Team {
  int threads = 1;
  bool (*interrupted)() =
      nullptr;  // asked every 50 ms on the calling thread; true ends the computation
};

// One thread's share of a parallel_for: its work area, and its eye on the stop flag.
class Worker {
 public:
  std::byte* scratch = nullptr;  // scratch_bytes of memory, 64-byte aligned, contents undefined

  // Throws when another task failed or the caller was interrupted. Cheap: call it between tiles.
  void check();

  // Waits until turn == value; wakes and throws when the computation is stopped meanwhile.
  void wait(const std::atomic<std::ptrdiff_t>& turn, std::ptrdiff_t value);

 private:
  friend class Region;
  class Region* region_ = nullptr;
  bool is_caller_ = false;  // it alone may ask team.interrupted
};

namespace detail {
using Body = void (*)(const void* function, std::ptrdiff_t task, Worker& worker);
void run(std::ptrdiff_t tasks, const Team& team, std::size_t scratch_bytes, Body body,
         const void* function);
}  // namespace detail

// Runs body(task, worker) for every task in [0, tasks). Tasks are handed out one by one in
// increasing order, so put heavy ones first; a task may wait for the turn of a lower one, never of
// a higher one. The first exception stops the others and is thrown again here. Regions inside a
// task run serially. Work areas are allocated before the region starts: std::bad_alloc leaves
// nothing half done.
template <class Function>
void parallel_for(std::ptrdiff_t tasks, const Team& team, std::size_t scratch_bytes,
                  const Function& body) {
  detail::run(
      tasks, team, scratch_bytes,
      [](const void* function, std::ptrdiff_t task, Worker& worker) {
        (*static_cast<const Function*>(function))(task, worker);
      },
      &body);
}

}  // namespace heedful
