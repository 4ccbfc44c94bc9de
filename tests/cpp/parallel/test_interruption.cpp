// Interruption of a parallel_for: who is asked, when, and what an answer does.
#include <chrono>
#include <thread>

#include "check.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::atomic<int> times_asked{0};
const auto caller = std::this_thread::get_id();
std::atomic<bool> asked_elsewhere{false};
Clock::time_point first_asked;

bool go_on() {
  if (times_asked++ == 0) first_asked = Clock::now();
  if (std::this_thread::get_id() != caller) asked_elsewhere = true;
  return false;
}

bool stop_at_third_asking() {
  if (std::this_thread::get_id() != caller) asked_elsewhere = true;
  return ++times_asked == 3;
}

// Calls that last for seconds unless they are interrupted.
template <class Function>
void is_interrupted_soon(int threads, std::ptrdiff_t tasks, const Function& body,
                         const char* sentence) {
  times_asked = 0;
  bool caught = false;
  const auto start = Clock::now();
  try {
    parallel_for(tasks, Team{threads, &stop_at_third_asking}, 0, body);
  } catch (const Interrupted&) {
    caught = true;
  }
  check(caught && seconds_since(start) < 2, sentence);
  check(!asked_elsewhere, "only the calling thread is asked");
}

void an_interruption_ends_the_computation() {
  const auto nap = [](std::ptrdiff_t, Worker&) { std::this_thread::sleep_for(milliseconds(10)); };
  is_interrupted_soon(1, 1000, nap, "asked between tasks, serially");
  is_interrupted_soon(2, 1000, nap, "asked between tasks, on a team");

  const auto tiles = [](std::ptrdiff_t, Worker& worker) {
    for (int tile = 0; tile < 1000; ++tile) {
      std::this_thread::sleep_for(milliseconds(10));
      worker.check();
    }
  };
  is_interrupted_soon(1, 1, tiles, "asked between the tiles of one task");

  std::atomic<int> started{0};
  const auto others_work = [&](std::ptrdiff_t, Worker& worker) {
    ++started;
    const auto start = Clock::now();
    while (started < 2 && seconds_since(start) < 10) {
      worker.check();
      std::this_thread::yield();
    }
    if (std::this_thread::get_id() == caller) return;  // has nothing left to do
    for (int tile = 0; tile < 1000; ++tile) {
      std::this_thread::sleep_for(milliseconds(10));
      worker.check();
    }
  };
  is_interrupted_soon(2, 2, others_work, "asked while the caller waits for the others");

  const std::atomic<std::ptrdiff_t> never{0};
  const auto waits = [&](std::ptrdiff_t, Worker& worker) { worker.wait(never, 1); };
  is_interrupted_soon(2, 2, waits, "asked while the caller waits for a turn");
}

void the_caller_is_asked_every_50_ms_and_not_at_once() {
  times_asked = 0;
  const auto start = Clock::now();
  parallel_for(400, Team{2, &go_on}, 0, [](std::ptrdiff_t, Worker& worker) {
    worker.check();
    std::this_thread::sleep_for(milliseconds(2));
  });
  const double seconds = seconds_since(start);
  check(times_asked >= 3, "asked again and again");
  check(times_asked <= static_cast<int>(seconds / 0.05), "asked every 50 ms at most");
  check(first_asked - start >= milliseconds(50), "a short call never asks");
}

int sum_of_handler = 0;
bool computes_when_asked() {
  sum_of_handler = 0;
  parallel_for(10, Team{2, &computes_when_asked}, 64, [](std::ptrdiff_t task, Worker& worker) {
    worker.check();
    sum_of_handler += static_cast<int>(task);  // serial, so nothing protects it
  });
  return true;
}

void a_handler_may_compute_while_the_region_waits_for_it() {
  bool caught = false;
  try {
    parallel_for(1000, Team{2, &computes_when_asked}, 64, [](std::ptrdiff_t, Worker& worker) {
      std::this_thread::sleep_for(milliseconds(5));
      worker.check();
    });
  } catch (const Interrupted&) {
    caught = true;
  }
  check(caught && sum_of_handler == 45,
        "what interrupted() computes is right, and its answer counts");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  an_interruption_ends_the_computation();
  the_caller_is_asked_every_50_ms_and_not_at_once();
  a_handler_may_compute_while_the_region_waits_for_it();
  return summary();
}
