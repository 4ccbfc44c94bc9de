// The processors that a thread may run on, and how it leaves one of them.
#include <sched.h>

#include "check.hpp"
#include "parallel/affinity.hpp"

namespace heedful {
namespace {

#ifdef __linux__

cpu_set_t own_processors() {
  cpu_set_t own;
  CPU_ZERO(&own);
  sched_getaffinity(0, sizeof own, &own);
  return own;
}

bool may_run_on(const cpu_set_t& processors) {
  const cpu_set_t own = own_processors();
  return CPU_EQUAL(&own, &processors);
}

void a_thread_leaves_a_processor_and_may_come_back() {
  const cpu_set_t before = own_processors();
  Affinity affinity = Affinity::of_this_thread();
  check(affinity.other_processors() == CPU_COUNT(&before) - 1, "it counts the other processors");
  int left = 0;
  for (int attempt = 0; attempt < 20; ++attempt) {
    const int processor = current_processor();
    affinity.leave(processor);
    left += current_processor() != processor;  // unless the system has already moved it back
    check(may_run_on(before), "it may run where it might before");
  }
  if (CPU_COUNT(&before) > 1) check(left >= 10, "it goes to another processor");
}

void there_may_be_no_other_processor() {
  const cpu_set_t before = own_processors();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(current_processor(), &one);
  sched_setaffinity(0, sizeof one, &one);
  Affinity affinity = Affinity::of_this_thread();
  affinity.leave(current_processor());
  check(may_run_on(one) && affinity.other_processors() == 0,
        "a thread that is bound to one processor stays");
  affinity.leave(-1);
  check(may_run_on(one), "leaving processor −1 changes nothing");
  sched_setaffinity(0, sizeof before, &before);
}

void a_thread_follows_another() {
  const cpu_set_t before = own_processors();
  const Affinity wide = Affinity::of_this_thread();
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(current_processor(), &one);
  sched_setaffinity(0, sizeof one, &one);
  Affinity own = Affinity::of_this_thread();
  own.follow(own);
  check(may_run_on(one), "following itself changes nothing");
  own.follow(Affinity());
  check(may_run_on(one), "it does not follow an unknown affinity");
  own.follow(wide);
  check(may_run_on(before), "it may run where the other may");
}

#endif

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
#ifdef __linux__
  a_thread_leaves_a_processor_and_may_come_back();
  there_may_be_no_other_processor();
  a_thread_follows_another();
#endif
  return summary();
}
