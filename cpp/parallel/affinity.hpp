// The processors that a thread may run on.
#pragma once

#ifdef __linux__
#include <sched.h>
#endif

namespace heedful {

// The number of the processor that the calling thread runs on at this moment; −1 where it cannot be
// told.
int current_processor() noexcept;

class Affinity {
 public:
  static Affinity of_this_thread() noexcept;

  // That of the pool's thread `number`, which calls it first of all: where OpenMP binds its threads
  // to places (OMP_PROC_BIND, GOMP_CPU_AFFINITY) the thread is bound to the next one, as OpenMP
  // would, and stays there.
  static Affinity of_helper(int number) noexcept;

  // How many processors there are beside the one where the thread runs; 0 where it is not known.
  int others() const noexcept;

  // Moves the calling thread, whose affinity this is, away from the processor where it may run on
  // another one. It may come back.
  void leave(int processor) noexcept;

  // Moves the calling thread, whose affinity this is, to the processors of the other.
  void follow(const Affinity& other) noexcept;

 private:
#ifdef __linux__
  cpu_set_t processors_{};
#endif
  bool known_ = false;  // not on other systems, nor with more than 1024 processors
};

}  // namespace heedful
