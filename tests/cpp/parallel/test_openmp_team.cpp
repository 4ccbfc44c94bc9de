// Regions in the calling thread's OpenMP team, that of the OpenMP library which this program has.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "check.hpp"
#include "parallel/fork.hpp"
#include "parallel/forked.hpp"
#include "parallel/openmp_team.hpp"
#include "parallel/parallel_for.hpp"

extern "C" {
void GOMP_parallel_start(void (*member)(void*), void* data, unsigned threads);
void GOMP_parallel_end();
void omp_set_num_threads(int threads);
int omp_in_parallel();
}

namespace heedful {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

std::ptrdiff_t threads_of_this_process() {
  const std::filesystem::directory_iterator begin("/proc/self/task");
  return std::distance(begin, std::filesystem::directory_iterator());
}

bool computes(int threads) {
  std::atomic<std::ptrdiff_t> sum{0};
  std::atomic<bool> in_team{true};
  parallel_for(101, Team{threads, nullptr}, 100, [&](std::ptrdiff_t task, Worker& worker) {
    worker.scratch[99] = std::byte{1};
    sum += task;
    if (!omp_in_parallel()) in_team = false;
  });
  return sum == 5050 && in_team;
}

// A member that was late sends the calls of a thread to the pool: each test has a thread of its
// own, and repeats until it was in the team.
template <class Function>
bool holds_in_team(const Function& function) {
  bool holds = false;
  std::thread([&] {
    omp_set_num_threads(3);
    exchange_openmp_here(true);
    const auto start = Clock::now();
    while (!holds && Clock::now() - start < milliseconds(20000)) {
      holds = openmp_library_here() != nullptr && function();
    }
    exchange_openmp_here(false);
  }).join();
  return holds;
}

void only_threads_that_want_it_compute_there() {
  exchange_openmp_here(false);
  check(!computes(3), "a thread that does not want a team has the pool");
  check(holds_in_team([] { return computes(3); }), "all tasks are executed in the team");
  check(holds_in_team([] { return computes(2); }), "fewer members than the team has may work");
  check(!exchange_openmp_here(true) && exchange_openmp_here(false), "what held before is returned");
}

void threads_that_call_at_once_have_a_team_each() {
  std::atomic<int> right{0};
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&] { right += holds_in_team([] { return computes(3); }); });
  }
  for (std::thread& caller : callers) caller.join();
  check(right == 4, "four threads call at once");
}

void a_call_inside_a_region_is_serial() {
  check(holds_in_team([] {
          std::atomic<int> sum{0};
          parallel_for(5, Team{3, nullptr}, 0, [&](std::ptrdiff_t, Worker&) {
            int own = 0;  // nothing protects it
            parallel_for(10, Team{3, nullptr}, 0,
                         [&](std::ptrdiff_t task, Worker&) { own += static_cast<int>(task); });
            sum += own;
          });
          return sum == 5 * 45;
        }),
        "nested regions are serial");
}

void an_exception_propagates() {
  check(holds_in_team([] {
          try {
            parallel_for(50, Team{3, nullptr}, 0, [](std::ptrdiff_t task, Worker& worker) {
              worker.check();
              if (task == 7) throw std::runtime_error("task 7");
            });
          } catch (const std::runtime_error&) {
            return !omp_in_parallel();
          }
          return false;
        }),
        "an exception of a task is rethrown after the end of the region");
}

bool stop() { return true; }

void the_caller_is_interrupted_while_it_waits() {
  check(holds_in_team([] {
          const auto caller = std::this_thread::get_id();
          std::atomic<int> started{0};
          try {
            parallel_for(2, Team{3, &stop}, 0, [&](std::ptrdiff_t, Worker& worker) {
              ++started;
              const auto start = Clock::now();
              while (started < 2 && Clock::now() - start < milliseconds(10000)) worker.check();
              if (std::this_thread::get_id() == caller) return;
              for (int tile = 0; tile < 1000; ++tile) {
                std::this_thread::sleep_for(milliseconds(10));
                worker.check();
              }
            });
          } catch (const Interrupted&) {
            return !omp_in_parallel();
          }
          return false;
        }),
        "polled while others work");
}

bool has_the_pool() { return openmp_library_here() == nullptr && !computes(3); }

// In a child that was forked within a region; OpenMP still holds it for one.
bool uses_no_library() {
  computes(3);
  return openmp_library_here() == nullptr;
}

void children_compute_in_the_pool() {
  check(holds_in_team([] { return computes(3) && holds_in_child(&has_the_pool) && computes(3); }),
        "a forked child has the pool, its parent the team");
  check(holds_in_team([] { return survives_fork_in_tasks(3, &uses_no_library); }),
        "a fork in a task of the caller");
  check(holds_in_team([] { return survives_fork_in_wait(3, &uses_no_library); }),
        "a fork while the caller waits");
}

void no_threads_are_started_beside_the_team() {
  check(holds_in_team([] {
          const std::ptrdiff_t before = threads_of_this_process();
          return computes(3) && computes(3) && threads_of_this_process() <= before + 2;
        }),
        "the threads of the team are those that compute");
}

void never_start(void (*)(void*), void*, unsigned) {}
void end_late() { std::this_thread::sleep_for(milliseconds(20)); }

void calls_after_a_late_end_have_the_pool_for_a_while() {
  const OpenMpLibrary late{&never_start, &end_late};
  std::thread([&] {
    set_openmp_library(late);
    exchange_openmp_here(true);
    check(openmp_library_here() != nullptr, "the library is used");
    std::atomic<int> ran{0};
    const auto count = [&](std::ptrdiff_t, Worker&) { ++ran; };
    parallel_for(10, Team{3, nullptr}, 0, count);
    check(ran == 10, "the caller executes all tasks where no member comes");
    const auto start = Clock::now();
    while (openmp_library_here() == nullptr && Clock::now() - start < milliseconds(20000)) {
      std::this_thread::sleep_for(milliseconds(5));
    }
    check(Clock::now() - start > milliseconds(200), "the pool for a multiple of the wait");
    check(openmp_library_here() != nullptr, "later the library again");
  }).join();
}

std::size_t most_workers = 0;

void as_many_members_work_as_the_call_has_threads() {
  check(holds_in_team([] {
          std::mutex mutex;
          std::set<std::thread::id> workers;
          parallel_for(30, Team{2, nullptr}, 0, [&](std::ptrdiff_t, Worker&) {
            std::this_thread::sleep_for(milliseconds(1));
            const std::lock_guard<std::mutex> lock(mutex);
            workers.insert(std::this_thread::get_id());
          });
          most_workers = std::max(most_workers, workers.size());
          return workers.size() == 2;
        }),
        "two of three members work");
  check(most_workers == 2, "never three");
}

}  // namespace
}  // namespace heedful

// The thread sanitizer otherwise ends a forked process that starts threads.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

int main() {
  using namespace heedful;
  install_fork_handler();
  set_openmp_library({&GOMP_parallel_start, &GOMP_parallel_end});
  no_threads_are_started_beside_the_team();
  only_threads_that_want_it_compute_there();
  threads_that_call_at_once_have_a_team_each();
  a_call_inside_a_region_is_serial();
  an_exception_propagates();
  the_caller_is_interrupted_while_it_waits();
  as_many_members_work_as_the_call_has_threads();
  children_compute_in_the_pool();
  calls_after_a_late_end_have_the_pool_for_a_while();
  return summary();
}
