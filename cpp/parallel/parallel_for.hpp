// Tasks on all threads of a team: the only way in which heedful computes in parallel.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>

namespace heedful {

// Thrown out of parallel_for when the caller wants to stop (Ctrl-C); the caller has already
// recorded the reason.
struct Interrupted : std::exception {
  const char* what() const noexcept override { return "interrupted"; }
};

// How many threads compute, and the function that says whether to stop.
struct Team {
  int threads = 1;
  bool (*interrupted)() =
      nullptr;  // called every 50 ms on the calling thread; true ends the computation
};

// One thread of a parallel_for: its scratch memory, and its checks of the stop flag.
class Worker {
 public:
  // scratch_bytes of memory, 64-byte aligned; undefined before the thread's first task, then as its
  // task before left it
  std::byte* scratch = nullptr;
  bool first_task = true;  // of this thread

  // Throws if another task failed or the caller was interrupted. Cheap: call it between tiles.
  void check();

  // Waits until counter == value; throws if the computation is stopped meanwhile.
  void wait(const std::atomic<std::ptrdiff_t>& counter, std::ptrdiff_t value);

 private:
  friend class Region;
  class Region* region_ = nullptr;
  bool is_caller_ = false;  // it alone may call team.interrupted
};

namespace detail {
using Body = void (*)(const void* function, std::ptrdiff_t task, Worker& worker);
void run(std::ptrdiff_t tasks, const Team& team, std::size_t scratch_bytes, Body body,
         const void* function);
}  // namespace detail

// Runs body(task, worker) for every task in [0, tasks). Tasks are handed out one by one in
// increasing order, so put expensive ones first; a task may wait for a lower one, never for a
// higher one. The first exception stops the others and is rethrown here. Regions inside a task run
// serially. Scratch is allocated before the region starts: after std::bad_alloc no task has
// run.
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
