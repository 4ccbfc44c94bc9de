// Interruption of a parallel_for: which thread polls interrupted(), when, and with what effect.
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

std::atomic<int> times_polled{0};
const auto caller = std::this_thread::get_id();
std::atomic<bool> polled_elsewhere{false};
Clock::time_point first_poll;

bool go_on() {
  if (times_polled++ == 0) first_poll = Clock::now();
  if (std::this_thread::get_id() != caller) polled_elsewhere = true;
  return false;
}

bool stop_at_third_asking() {
  if (std::this_thread::get_id() != caller) polled_elsewhere = true;
  return ++times_polled == 3;
}

// Calls that last for seconds unless they are interrupted.
template <class Function>
void is_interrupted_soon(int threads, std::ptrdiff_t tasks, const Function& body,
                         const char* sentence) {
  times_polled = 0;
  bool caught = false;
  const auto start = Clock::now();
  try {
    parallel_for(tasks, Team{threads, &stop_at_third_asking}, 0, body);
  } catch (const Interrupted&) {
    caught = true;
  }
  check(caught && seconds_since(start) < 2, sentence);
  check(!polled_elsewhere, "only the calling thread polls");
}

void an_interruption_ends_the_computation() {
  const auto nap = [](std::ptrdiff_t, Worker&) { std::this_thread::sleep_for(milliseconds(10)); };
  is_interrupted_soon(1, 1000, nap, "polled between tasks, serially");
  is_interrupted_soon(2, 1000, nap, "polled between tasks, on a team");

  const auto tiles = [](std::ptrdiff_t, Worker& worker) {
    for (int tile = 0; tile < 1000; ++tile) {
      std::this_thread::sleep_for(milliseconds(10));
      worker.check();
    }
  };
  is_interrupted_soon(1, 1, tiles, "polled between the tiles of one task");

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
  is_interrupted_soon(2, 2, others_work, "polled while the caller waits for the others");

  const std::atomic<std::ptrdiff_t> never{0};
  const auto waits = [&](std::ptrdiff_t, Worker& worker) { worker.wait(never, 1); };
  is_interrupted_soon(2, 2, waits, "polled while the caller waits for another task");
}

void the_caller_polls_every_50_ms_and_not_at_once() {
  times_polled = 0;
  const auto start = Clock::now();
  parallel_for(400, Team{2, &go_on}, 0, [](std::ptrdiff_t, Worker& worker) {
    worker.check();
    std::this_thread::sleep_for(milliseconds(2));
  });
  const double seconds = seconds_since(start);
  check(times_polled >= 3, "polled repeatedly");
  check(times_polled <= static_cast<int>(seconds / 0.05), "polled every 50 ms at most");
  check(first_poll - start >= milliseconds(50), "a short call never polls");
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
        "what interrupted() computes is right, and its result is respected");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  an_interruption_ends_the_computation();
  the_caller_polls_every_50_ms_and_not_at_once();
  a_handler_may_compute_while_the_region_waits_for_it();
  return summary();
}
