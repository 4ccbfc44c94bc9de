// Forked processes of tests, and a region in the middle of which the process forks.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

#include "parallel/parallel_for.hpp"

namespace heedful {

// Whether a child process ends well within 10 s.
inline bool ends_well(pid_t child) {
  using Clock = std::chrono::steady_clock;
  const auto deadline = Clock::now() + std::chrono::seconds(10);
  int status = -1;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if (Clock::now() > deadline) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return false;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Whether `child` in a forked process returns true.
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
  return ends_well(pid);
}

inline thread_local pid_t forked_in_region = -1;
inline thread_local bool forked_holds = false;
inline bool fork_once() {
  if (forked_in_region >= 0) return false;
  forked_in_region = fork();
  if (forked_in_region > 0) forked_holds = ends_well(forked_in_region);
  return false;
}

// Whether of a region whose caller forks when it polls first the parent executes all tasks, and the
// child, in which those of other threads are lost, gets an exception; after it `goes_on` holds.
template <class Body, class Function>
bool survives_fork(std::ptrdiff_t tasks, int threads, const Body& body, const Function& goes_on) {
  forked_in_region = -1;
  forked_holds = false;
  std::atomic<std::ptrdiff_t> ran{0};
  bool ended = false;
  try {
    parallel_for(tasks, Team{threads, &fork_once}, 0, [&](std::ptrdiff_t, Worker& worker) {
      body(worker);
      ++ran;
    });
  } catch (const std::runtime_error&) {
    ended = true;
  }
  if (forked_in_region == 0) _exit(ended && goes_on() ? 0 : 1);
  return forked_holds && !ended && ran == tasks;
}

// With many tasks, so that the caller forks in one of its own.
template <class Function>
bool survives_fork_in_tasks(int threads, const Function& goes_on) {
  const auto body = [](Worker& worker) {
    for (int tile = 0; tile < 10; ++tile) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      worker.check();
    }
  };
  return survives_fork(60, threads, body, goes_on);
}

// With two tasks, of which the caller's is soon done, so that it forks while it waits.
template <class Function>
bool survives_fork_in_wait(int threads, const Function& goes_on) {
  const auto caller = std::this_thread::get_id();
  std::atomic<int> started{0};
  const auto body = [&](Worker&) {
    ++started;
    if (std::this_thread::get_id() != caller) {
      std::this_thread::sleep_for(std::chrono::milliseconds(300));
    }
    for (int wait = 0; started < 2 && wait < 10000; ++wait) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
  return survives_fork(2, threads, body, goes_on);
}

}  // namespace heedful
