// Tasks that add to the same elements: in order, and none after an exception.
#include <chrono>
#include <stdexcept>
#include <thread>

#include "attention/backward/partition/in_order.hpp"
#include "check.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {
namespace {

using std::chrono::milliseconds;

void tasks_add_in_the_order_of_their_tickets() {
  for (const int threads : {1, 2, 5}) {
    std::atomic<std::ptrdiff_t> added{0};
    std::ptrdiff_t sum = 0;  // depends on the order of the additions
    bool in_order_of_tickets = true;
    parallel_for(97, Team{threads, nullptr}, 0, [&](std::ptrdiff_t task, Worker& worker) {
      if (task % 7 == 0)
        std::this_thread::sleep_for(milliseconds(1));  // other tasks arrive earlier
      const InOrder in_order(worker, Ticket{added, task});
      in_order_of_tickets &= added == task;
      sum = (3 * sum + task) % 1000003;
    });
    std::ptrdiff_t expected = 0;
    for (std::ptrdiff_t task = 0; task < 97; ++task) expected = (3 * expected + task) % 1000003;
    check(in_order_of_tickets, "the counter equals the ticket");
    check(sum == expected, "the tasks add in the order of their tickets");
    check(added == 97, "each task admits the next one");
  }
}

void no_task_adds_after_an_exception() {
  for (const int threads : {1, 2, 5}) {
    std::atomic<std::ptrdiff_t> added{0};
    std::atomic<bool> later_ones_added{false};
    bool caught = false;
    try {
      parallel_for(5, Team{threads, nullptr}, 0, [&](std::ptrdiff_t task, Worker& worker) {
        const InOrder in_order(worker, Ticket{added, task});
        if (task > 1) later_ones_added = true;
        if (task == 1) throw std::runtime_error("half added");
      });
    } catch (const std::runtime_error&) {
      caught = true;
    }
    check(caught, "the exception is rethrown, and waiting tasks are woken");
    check(added == 1 && !later_ones_added, "no task adds after an exception");
  }
}

// As in a destructor that computes during stack unwinding.
void tasks_add_inside_an_unwinding() {
  std::atomic<std::ptrdiff_t> added{0};
  struct Computes {
    std::atomic<std::ptrdiff_t>& added;
    ~Computes() {
      parallel_for(3, Team{1, nullptr}, 0, [&](std::ptrdiff_t task, Worker& worker) {
        const InOrder in_order(worker, Ticket{added, task});
      });
    }
  };
  try {
    const Computes computes{added};
    throw std::runtime_error("another one");
  } catch (const std::runtime_error&) {
  }
  check(added == 3, "an unrelated exception changes nothing");
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::tasks_add_in_the_order_of_their_tickets();
  heedful::no_task_adds_after_an_exception();
  heedful::tasks_add_inside_an_unwinding();
  return heedful::summary();
}
