// The pool: which workers join which calls, which are not waited for, and where workers run.
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <set>
#include <thread>
#include <vector>

#include "check.hpp"
#include "parallel/affinity.hpp"
#include "parallel/parallel_for.hpp"
#include "parallel/pool.hpp"

namespace heedful {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Waits for other threads, 10 s at most; with a worker, within its task.
template <class Condition>
bool becomes_true(const Condition& holds, Worker* worker = nullptr) {
  const auto start = Clock::now();
  while (!holds()) {
    if (seconds_since(start) > 10) return false;
    if (worker != nullptr) worker->check();
    std::this_thread::yield();
  }
  return true;
}

std::ptrdiff_t threads_of_this_process() {
  const std::filesystem::directory_iterator begin("/proc/self/task");
  return std::distance(begin, std::filesystem::directory_iterator());
}

// Runs first, as it counts threads.
void many_calls_share_the_threads_of_one() {
  std::thread([] {}).join();  // a sanitizer starts a thread of its own beside the first one
  const std::ptrdiff_t before = threads_of_this_process();
  std::atomic<int> right{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 16; ++caller) {
    callers.emplace_back([&] {
      for (int call = 0; call < 20; ++call) {
        std::atomic<std::ptrdiff_t> sum{0};
        parallel_for(101, Team{3, nullptr}, 100,
                     [&](std::ptrdiff_t task, Worker&) { sum += task; });
        if (sum == 5050) ++right;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  check(right == 16 * 20, "sixteen threads that call at once all get their results");
  check(becomes_true([&] { return threads_of_this_process() == before + 2; }),
        "two workers serve all teams of three");
}

void a_worker_that_does_not_join_is_not_waited_for() {
  // Every worker is in a task of another call; one that joined nevertheless would be a new thread.
  std::atomic<int> inside{0};
  std::atomic<bool> enough{false};
  std::thread other([&] {
    parallel_for(3, Team{3, nullptr}, 0, [&](std::ptrdiff_t, Worker& worker) {
      ++inside;
      becomes_true([&] { return enough.load(); }, &worker);
    });
  });
  check(becomes_true([&] { return inside == 3; }), "all workers are in another call");
  const auto caller = std::this_thread::get_id();
  std::atomic<int> by_caller{0};
  for (int call = 0; call < 100; ++call) {
    parallel_for(5, Team{3, nullptr}, 0, [&](std::ptrdiff_t, Worker&) {
      if (std::this_thread::get_id() == caller) ++by_caller;
    });
  }
  check(!enough && by_caller == 500, "the caller completes the calls alone");

  // They join a running call when they are free.
  std::atomic<int> arrived{0};
  parallel_for(3, Team{3, nullptr}, 0, [&](std::ptrdiff_t, Worker& worker) {
    ++arrived;
    enough = true;
    becomes_true([&] { return arrived == 3; }, &worker);
  });
  other.join();
  check(arrived == 3, "workers join a call that has begun without them");
}

void workers_run_where_the_caller_may() {
  cpu_set_t before;
  sched_getaffinity(0, sizeof before, &before);
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (!CPU_ISSET(processor, &before)) continue;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    sched_setaffinity(0, sizeof one, &one);
    std::atomic<int> arrived{0};
    std::atomic<int> there{0};
    parallel_for(3, Team{3, nullptr}, 0, [&](std::ptrdiff_t, Worker& worker) {
      cpu_set_t own;
      sched_getaffinity(0, sizeof own, &own);
      if (CPU_EQUAL(&own, &one) && current_processor() == processor) ++there;
      ++arrived;
      becomes_true([&] { return arrived == 3; }, &worker);
    });
    check(there == 3, "workers follow the caller when its affinity has changed");
  }
  sched_setaffinity(0, sizeof before, &before);
}

// Whether three calls on seven threads have the right result.
bool seven_compute() {
  std::atomic<int> sum{0};
  for (int call = 0; call < 3; ++call) {
    parallel_for(101, Team{7, nullptr}, 100,
                 [&](std::ptrdiff_t task, Worker&) { sum += static_cast<int>(task); });
  }
  return sum == 3 * 5050;
}

// The return value of `child` in a separate process, as a user to whom limits apply; 0 where there
// is no such user.
template <class Function>
int status_of_limited_process(const Function& child) {
  const pid_t pid = fork();
  if (pid == 0) _exit(getuid() == 0 && setuid(65534) != 0 ? 0 : child());
  int status = -1;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void calls_work_where_no_thread_can_be_started() {
  const int status = status_of_limited_process([] {
    const std::ptrdiff_t before = threads_of_this_process();
    rlimit limit{};
    getrlimit(RLIMIT_NPROC, &limit);
    limit.rlim_cur = 0;
    setrlimit(RLIMIT_NPROC, &limit);
    if (!seven_compute() || threads_of_this_process() != before) return 1;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NPROC, &limit);
    if (!seven_compute()) return 2;
    return becomes_true([&] { return threads_of_this_process() == before + 6; }) ? 0 : 2;
  });
  check(status != -1 && status != 1, "if no thread can be started the caller executes everything");
  check(status != 2, "when threads can be started again they are");
}

void as_many_threads_as_the_system_allows_join() {
  const int status = status_of_limited_process([] {
    const std::ptrdiff_t before = threads_of_this_process();
    // how many threads this user has is not known: the limit rises until one more can be started
    rlimit limit{};
    getrlimit(RLIMIT_NPROC, &limit);
    const rlim_t max_threads = std::min(limit.rlim_max, rlim_t{10000});
    for (limit.rlim_cur = 1; limit.rlim_cur < max_threads; ++limit.rlim_cur) {
      setrlimit(RLIMIT_NPROC, &limit);
      if (!seven_compute()) return 1;
      const std::ptrdiff_t workers = threads_of_this_process() - before;
      if (workers > 0) return workers < 6 ? 0 : 1;
    }
    return 0;
  });
  check(status == 0, "if only some threads can be started these join");
}

}  // namespace
}  // namespace heedful

// The thread sanitizer otherwise ends a forked process that starts threads.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

int main() {
  using namespace heedful;
  calls_work_where_no_thread_can_be_started();  // forks, so before any thread is there
  as_many_threads_as_the_system_allows_join();
  many_calls_share_the_threads_of_one();
  a_worker_that_does_not_join_is_not_waited_for();
  workers_run_where_the_caller_may();
  return summary();
}
