#include "parallel/affinity.hpp"

#include <omp.h>

#include <vector>

namespace heedful {

#ifdef __linux__

int current_processor() noexcept { return sched_getcpu(); }

Affinity Affinity::of_this_thread() noexcept {
  Affinity own;
  own.known_ = sched_getaffinity(0, sizeof own.processors_, &own.processors_) == 0;
  return own;
}

Affinity Affinity::of_worker(int number) noexcept {
  const int places = omp_get_proc_bind() == omp_proc_bind_false ? 0 : omp_get_num_places();
  if (places == 0) return of_this_thread();
  const int place = (number + 1) % places;  // the first one is the caller's
  try {
    std::vector<int> processors(static_cast<std::size_t>(omp_get_place_num_procs(place)));
    omp_get_place_proc_ids(place, processors.data());
    cpu_set_t bound;
    CPU_ZERO(&bound);
    for (const int processor : processors) CPU_SET(processor, &bound);
    sched_setaffinity(0, sizeof bound, &bound);
  } catch (const std::bad_alloc&) {
    // then it runs wherever the thread that started it may run
  }
  return {};
}

int Affinity::other_processors() const noexcept { return known_ ? CPU_COUNT(&processors_) - 1 : 0; }

void Affinity::leave(int processor) noexcept {
  if (!known_ || processor < 0) return;
  cpu_set_t others = processors_;
  CPU_CLR(processor, &others);
  if (CPU_COUNT(&others) == 0) return;
  sched_setaffinity(0, sizeof others, &others);
  sched_setaffinity(0, sizeof processors_, &processors_);
}

void Affinity::follow(const Affinity& other) noexcept {
  if (!known_ || !other.known_ || CPU_EQUAL(&processors_, &other.processors_)) return;
  if (sched_setaffinity(0, sizeof other.processors_, &other.processors_) == 0) *this = other;
}

#else

int current_processor() noexcept { return -1; }
Affinity Affinity::of_this_thread() noexcept { return {}; }
Affinity Affinity::of_worker(int) noexcept { return {}; }
int Affinity::other_processors() const noexcept { return 0; }
void Affinity::leave(int) noexcept {}
void Affinity::follow(const Affinity&) noexcept {}

#endif

}  // namespace heedful
