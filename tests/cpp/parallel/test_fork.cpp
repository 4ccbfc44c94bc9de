// Regions in a child process: after fork, after a fork in the child, and while other threads
// compute.
#include <chrono>
#include <stdexcept>
#include <thread>

#include "check.hpp"
#include "parallel/fork.hpp"
#include "parallel/forked.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

bool computes(int threads) {
  std::atomic<std::ptrdiff_t> sum{0};
  parallel_for(101, Team{threads, nullptr}, 100, [&](std::ptrdiff_t task, Worker& worker) {
    worker.scratch[99] = std::byte{1};
    sum += task;
  });
  return sum == 5050;
}

void a_child_computes() {
  check(computes(2), "the parent computes");
  check(!has_forked(), "the parent's thread has not forked");
  check(holds_in_child([] { return has_forked() && computes(2) && computes(3) && computes(2); }),
        "a child computes, again and again");
  check(computes(2), "the parent computes after the fork");
}

void a_grandchild_computes() {
  check(holds_in_child([] {
          return computes(2) && holds_in_child([] { return computes(2); }) && computes(2);
        }),
        "a child that computed forks, too");
  check(holds_in_child([] { return holds_in_child([] { return computes(2); }); }),
        "a child that did not compute forks, too");
}

void other_threads_of_a_child_compute() {
  check(holds_in_child([] {
          bool right[2] = {};
          std::thread first([&] { right[0] = !has_forked() && computes(2); });
          std::thread second([&] { right[1] = computes(3); });
          const bool own = computes(2);
          first.join();
          second.join();
          return own && right[0] && right[1];
        }),
        "threads started in the child compute beside the one that forked");
}

void a_child_of_a_busy_process_computes() {
  std::atomic<bool> enough{false};
  const auto keep_computing = [&] {
    while (!enough) computes(2);
  };
  std::thread first(keep_computing);
  std::thread second(keep_computing);
  int right = 0;
  for (int child = 0; child < 20; ++child) right += holds_in_child([] { return computes(2); });
  enough = true;
  first.join();
  second.join();
  check(right == 20, "children that were forked while two threads computed");
}

void an_exception_in_a_child_propagates() {
  check(holds_in_child([] {
          try {
            parallel_for(50, Team{2, nullptr}, 0, [](std::ptrdiff_t task, Worker& worker) {
              worker.check();
              if (task == 7) throw std::runtime_error("task 7");
            });
          } catch (const std::runtime_error&) {
            return computes(2);
          }
          return false;
        }),
        "an exception is thrown by parallel_for in the child too");
}

std::thread::id polling_thread;
bool stop() {
  polling_thread = std::this_thread::get_id();
  return true;
}

void a_child_is_interrupted() {
  check(holds_in_child([] {
          const auto start = Clock::now();
          try {
            parallel_for(2, Team{2, &stop}, 0, [](std::ptrdiff_t, Worker& worker) {
              for (int tile = 0; tile < 1000; ++tile) {
                std::this_thread::sleep_for(milliseconds(10));
                worker.check();
              }
            });
          } catch (const Interrupted&) {
            return polling_thread == std::this_thread::get_id() &&
                   Clock::now() - start < milliseconds(3000) && computes(2);
          }
          return false;
        }),
        "the calling thread of the child polls");
}

void a_fork_in_the_middle_of_a_computation_ends_it_in_the_child() {
  check(survives_fork_in_tasks(2, [] { return computes(2); }), "a fork in a task of the caller");
  check(survives_fork_in_wait(2, [] { return computes(2); }), "a fork while the caller waits");
}

}  // namespace
}  // namespace heedful

// The thread sanitizer otherwise ends a forked process that starts threads.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }

int main() {
  using namespace heedful;
  install_fork_handler();
  install_fork_handler();
  a_child_computes();
  a_grandchild_computes();
  other_threads_of_a_child_compute();
  a_child_of_a_busy_process_computes();
  an_exception_in_a_child_propagates();
  a_child_is_interrupted();
  a_fork_in_the_middle_of_a_computation_ends_it_in_the_child();
  return summary();
}
