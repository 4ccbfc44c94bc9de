// Regions in a child process: after fork, after a fork in the child, and while other threads
// compute.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <thread>

#include "check.hpp"
#include "parallel/fork.hpp"
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

// Whether `child` in a forked process returns true within 10 s.
template <class Function>
bool holds_in_child(const Function& child) {
  const pid_t pid = fork();
  if (pid == 0) {
    bool holds = false;
    try {
      holds = child();
    } catch (...) {
    }
    _exit(holds ? 0 : 1);
  }
  const auto deadline = Clock::now() + milliseconds(10000);
  int status = -1;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (Clock::now() > deadline) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      return false;
    }
    std::this_thread::sleep_for(milliseconds(5));
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
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

enum class Forked { no, here, in_child };
Forked forked_while_polled = Forked::no;
bool child_holds = false;
bool fork_once() {
  if (forked_while_polled != Forked::no) return false;
  forked_while_polled = Forked::here;
  const pid_t pid = fork();
  if (pid == 0) {
    forked_while_polled = Forked::in_child;
    return false;
  }
  int status = -1;
  waitpid(pid, &status, 0);
  child_holds = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return false;
}

void a_fork_in_the_middle_of_a_computation_ends_it_in_the_child() {
  std::atomic<int> ran{0};
  bool ended = false;
  try {
    parallel_for(60, Team{2, &fork_once}, 0, [&](std::ptrdiff_t, Worker& worker) {
      for (int tile = 0; tile < 10; ++tile) {
        std::this_thread::sleep_for(milliseconds(1));
        worker.check();
      }
      ++ran;
    });
  } catch (const std::runtime_error&) {
    ended = true;
  }
  if (forked_while_polled == Forked::in_child) _exit(ended && computes(2) ? 0 : 1);
  check(forked_while_polled == Forked::here && child_holds,
        "the child, in which the workers' tasks are lost, gets an exception and can continue");
  check(!ended && ran == 60, "the parent completes all tasks");
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
