// The processors that a thread may run on.
#pragma once

#ifdef __linux__
#include <sched.h>
#endif

namespace heedful {

// The number of the processor that the calling thread runs on at this moment; −1 where that is
// unknown.
int current_processor() noexcept;

class Affinity {
 public:
  static Affinity of_this_thread() noexcept;

  // That of the pool's worker `number`, which calls this first of all: where OpenMP binds its
  // threads to places (OMP_PROC_BIND, GOMP_CPU_AFFINITY) the worker is bound to the next place, as
  // OpenMP would do, and stays there.
  static Affinity of_worker(int number) noexcept;

  // How many processors the thread may use beside the one it runs on; 0 where that is unknown.
  int other_processors() const noexcept;

  // Moves the calling thread, whose affinity this is, off the processor if it may run on another
  // one. The system may move it back later.
  void leave(int processor) noexcept;

  // Moves the calling thread, whose affinity this is, to the processors of `other`.
  void follow(const Affinity& other) noexcept;

 private:
#ifdef __linux__
  cpu_set_t processors_{};
#endif
  bool known_ = false;  // false on other systems, and with more than 1024 processors
};

}  // namespace heedful
