// Scratch memory: checked sizes, tables, scratch that is cached, and injected allocation failures.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <fstream>
#include <limits>
#include <thread>

#include "check.hpp"
#include "parallel/parallel_for.hpp"
#include "parallel/scratch.hpp"

namespace heedful {
namespace {

constexpr std::size_t kMegabyte = std::size_t{1} << 20;

template <class Function>
bool lacks_memory(const Function& compute) {
  try {
    compute();
  } catch (const std::bad_alloc&) {
    return true;
  }
  return false;
}

double resident_megabytes() {
  long total = 0;
  double resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / static_cast<double>(kMegabyte);
}

bool is_aligned(const void* data) { return reinterpret_cast<std::uintptr_t>(data) % 64 == 0; }

void tables_are_aligned_and_zeroed_where_requested() {
  for (const std::ptrdiff_t count : {1, 7, 1025}) {
    {
      Buffer<std::ptrdiff_t> dirty(count);
      std::fill(dirty.begin(), dirty.end(), -1);
      check(is_aligned(dirty.data()) && dirty.size() == count, "a table is aligned to 64 bytes");
    }
    Buffer<std::atomic<std::ptrdiff_t>> counters(count, zeroed);
    check(std::all_of(counters.begin(), counters.end(),
                      [](const auto& counter) { return counter == 0; }),
          "a zeroed table of atomics holds zeros");
    counters[count - 1] = 5;
    const Buffer<std::atomic<std::ptrdiff_t>> moved = std::move(counters);
    check(moved[count - 1] == 5, "a table keeps its contents when it moves");
  }
  const Buffer<float> empty(0);
  check(empty.size() == 0 && empty.begin() == empty.end(), "a table may be empty");
}

void a_size_that_overflows_is_no_memory() {
  constexpr std::ptrdiff_t max_size = std::numeric_limits<std::ptrdiff_t>::max();
  check(checked_bytes(3, 5) == 15, "checked_bytes is the product");
  check(lacks_memory([] { checked_bytes(-1, 1); }), "a negative count is refused");
  check(lacks_memory([] { checked_bytes(max_size / 8 + 1, 8); }), "a product past 2^63 is refused");
  // 2^61 + 1 elements of 8 bytes would wrap around to 8 bytes
  check(lacks_memory([] { Buffer<double> table((std::ptrdiff_t{1} << 61) + 1); }),
        "a table whose size wraps around is refused");
  check(lacks_memory([] { ThreadScratch(1 << 20, std::size_t{1} << 50); }),
        "scratch whose size wraps around is refused");
  check(lacks_memory([] { ThreadScratch(2, std::numeric_limits<std::size_t>::max() - 10); }),
        "scratch whose size wraps around by rounding is refused");
  check(lacks_memory([] { ThreadScratch(1, std::size_t{1} << 62); }),
        "more memory than there is throws std::bad_alloc");
}

void the_nth_allocation_fails() {
  const auto compute = [] {
    const Buffer<int> first(10);
    const Buffer<int> second(10);
    int sum = 0;
    parallel_for(1, Team{}, 64, [&](std::ptrdiff_t, Worker&) { ++sum; });
    return sum;
  };
  compute();  // the scratch is cached from now on, and still counts
  for (int nth = 1; nth <= 3; ++nth) {
    fail_allocation(nth);
    check(lacks_memory(compute), "one of the three allocations fails");
    check(!lacks_memory(compute), "the one after it succeeds");
  }
  fail_allocation(4);
  check(!lacks_memory(compute), "three allocations need no fourth");
  fail_allocation(0);
  check(!lacks_memory(compute) && !lacks_memory(compute), "0 disarms");
}

void no_task_runs_without_scratch() {
  bool ran = false;
  fail_allocation(1);
  check(lacks_memory([&] {
          parallel_for(5, Team{2, nullptr}, 64, [&](std::ptrdiff_t, Worker&) { ran = true; });
        }),
        "parallel_for throws std::bad_alloc");
  check(!ran, "no task has run by then");
}

void a_failed_allocation_in_a_task_propagates() {
  check(lacks_memory([&] {
          parallel_for(5, Team{2, nullptr}, 0, [](std::ptrdiff_t task, Worker&) {
            if (task == 3) fail_allocation(1);
            if (task >= 3) Buffer<int> table(10);
          });
        }),
        "std::bad_alloc in a task is thrown by parallel_for");
  fail_allocation(0);
}

void scratch_is_cached_unless_it_is_large() {
  const std::byte *first = nullptr, *second = nullptr;
  {
    const ThreadScratch areas(2, kMegabyte);
    first = areas.of(0);
  }
  {
    const ThreadScratch areas(2, kMegabyte / 2);
    check(areas.of(0) == first, "the next call gets the same block");
    const ThreadScratch nested(2, kMegabyte / 2);
    check(nested.of(0) != first, "a call inside a call gets another one");
    second = nested.of(0);
  }
  {
    const ThreadScratch areas(2, kMegabyte);
    const ThreadScratch nested(2, kMegabyte / 2);
    check(areas.of(0) == first && nested.of(0) == second, "both are cached");
  }
  {
    const ThreadScratch nested(2, kMegabyte / 2);
    const ThreadScratch areas(2, kMegabyte);
    check(areas.of(0) == first && nested.of(0) == second,
          "each gets the smallest block that is large enough");
  }
  const double before = resident_megabytes();
  {
    const ThreadScratch areas(1, 65 * kMegabyte);
    std::fill_n(areas.of(0), 65 * kMegabyte, std::byte{1});
    check(is_aligned(areas.of(0)), "a large block is aligned");
    check(resident_megabytes() > before + 50, "this process's memory is measured");
  }
  check(resident_megabytes() < before + 20, "a block of more than 64 MB is freed");
  check(allocate_aligned(0) == nullptr, "zero bytes need no memory");
  const ThreadScratch none(3, 0);
  check(none.of(2) == nullptr, "a region without scratch has no memory");
}

void another_thread_has_a_block_of_its_own() {
  const ThreadScratch mine(1, kMegabyte);
  std::byte* theirs = nullptr;
  std::thread([&] {
    const ThreadScratch areas(1, kMegabyte);
    theirs = areas.of(0);
  }).join();
  check(theirs != nullptr && theirs != mine.of(0), "threads do not share scratch");
}

}  // namespace
}  // namespace heedful

// Freed memory is returned to the system at once, under the address sanitizer, too.
extern "C" const char* __asan_default_options() { return "quarantine_size_mb=0"; }

int main() {
  using namespace heedful;
  tables_are_aligned_and_zeroed_where_requested();
  a_size_that_overflows_is_no_memory();
  the_nth_allocation_fails();
  no_task_runs_without_scratch();
  a_failed_allocation_in_a_task_propagates();
  scratch_is_cached_unless_it_is_large();
  another_thread_has_a_block_of_its_own();
  return summary();
}
