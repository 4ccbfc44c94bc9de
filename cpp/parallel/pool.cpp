#include "parallel/pool.hpp"

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

#include "parallel/pause.hpp"
#include "parallel/region.hpp"

namespace heedful {
namespace {

using Clock = Pool::Clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// How long a worker without a request spins before it sleeps: the next call often follows soon, and
// waking up takes 10 to 50 µs. Where the last one did not, the next will hardly do so either, as in
// a program whose other work is done by the threads of another library: there the worker sleeps
// after kSpinBeforeYield.
constexpr milliseconds kSpinLimit{2};
// The first part of that, in which it does not yield: a program that calls in a loop calls again
// sooner. After it, the worker yields in every iteration.
constexpr microseconds kSpinBeforeYield{50};
// The time slice after which a worker yields. Linux preempts a thread after 1.4 ms to 4 ms when
// another one is runnable, and would do so in the middle of a task.
constexpr microseconds kTimeSlice{1500};
// Two iterations that are this far apart: another thread had the processor meanwhile.
constexpr microseconds kPreempted{50};
// How long a caller without tasks spins until its workers have left, before it sleeps.
constexpr microseconds kCallerSpin{20};

std::atomic<Pool*> pool_of_process{nullptr};

}  // namespace

Pool& Pool::of_process() {
  Pool* pool = pool_of_process.load(std::memory_order_acquire);
  if (pool != nullptr) return *pool;
  auto* const fresh = new Pool;  // never deleted: its threads run until the process ends
  if (pool_of_process.compare_exchange_strong(pool, fresh)) return *fresh;
  delete fresh;
  return *pool;
}

void Pool::forget() noexcept { pool_of_process = nullptr; }

// The mutex is held for some ten instructions: when it is taken, spinning beats sleeping.
std::unique_lock<std::mutex> Pool::locked() {
  std::unique_lock lock(mutex_, std::try_to_lock);
  for (int round = 0; !lock && round < 100; ++round) {
    spin_once();
    lock.try_lock();
  }
  if (!lock) lock.lock();
  return lock;
}

void Pool::submit(WorkRequest& request) {
  request.affinity_ = Affinity::of_this_thread();
  request.processor_ = current_processor();
  auto lock = locked();
  request.next_ = first_;
  first_ = &request;
  open_slots_.store(open_slots_ + request.open_slots_, std::memory_order_relaxed);
  const int woken = std::clamp(open_slots_ - spinning_, 0, sleeping_);
  const bool all = woken == sleeping_;
  const int missing = std::max(0, request.open_slots_ - threads_);
  const int first_number = threads_;
  threads_ += missing;
  spinning_ += missing;
  lock.unlock();

  if (woken > 0 && all) {
    submitted_.notify_all();
  } else {
    for (int i = 0; i < woken; ++i) submitted_.notify_one();
  }
  for (int i = 0; i < missing; ++i) {
    try {
      std::thread(&Pool::run_worker, this, first_number + i).detach();
    } catch (const std::exception&) {  // the system's limit, or no memory
      lock.lock();
      threads_ -= missing - i;
      spinning_ -= missing - i;
      return;
    }
  }
}

void Pool::cancel(WorkRequest& request) {
  const auto lock = locked();
  WorkRequest** link = &first_;
  while (*link != &request) link = &(*link)->next_;
  *link = request.next_;
  open_slots_.store(open_slots_ - request.open_slots_, std::memory_order_relaxed);
}

bool Pool::wait_until_left(WorkRequest& request, milliseconds timeout) {
  const auto empty = [&] { return request.working_.load(std::memory_order_acquire) == 0; };
  if (empty()) return true;
  for (const auto end = Clock::now() + kCallerSpin; Clock::now() < end;) {
    for (int i = 0; i < 16; ++i) spin_once();
    if (empty()) return true;
  }
  auto lock = locked();
  request.waiting_ = true;
  const bool left = request.left_.wait_for(lock, timeout, empty);
  request.waiting_ = false;
  return left;
}

void Pool::run_worker(int number) noexcept {
  Affinity affinity = Affinity::of_worker(number);
  auto slice_start = Clock::now();
  auto idle_since = slice_start;
  bool soon = true;  // whether the next request is expected within kSpinLimit
  bool moved = false;
  auto lock = locked();
  for (;;) {
    WorkRequest* const request = find_request();
    if (request != nullptr) {
      if (!moved && request->working_ < affinity.other_processors() &&
          current_processor() == request->processor_) {
        const int taken = request->processor_;  // there it would compete with the caller
        lock.unlock();
        affinity.leave(taken);
        lock = locked();
        moved = true;
        continue;  // the request may have been cancelled
      }
      moved = false;
      const int thread = join(*request);
      lock.unlock();
      soon = Clock::now() < idle_since + kSpinLimit;
      affinity.follow(request->affinity_);
      request->region_.run_on_worker(thread);
      idle_since = Clock::now();
      lock = locked();
      leave(*request);
      continue;
    }
    moved = false;
    lock.unlock();
    const bool found = spin(slice_start, soon ? Clock::duration(kSpinLimit) : kSpinBeforeYield);
    if (!found) soon = false;  // unless the next request proves otherwise
    lock = locked();
    if (found || open_slots_ > 0) continue;
    --spinning_;
    ++sleeping_;
    submitted_.wait(lock);  // woken too late for one call, it spins for the next
    --sleeping_;
    ++spinning_;
    slice_start = Clock::now();
  }
}

// Spins until a request is open or the limit is reached; returns whether one is open.
// `slice_start` is when the thread was last given its processor, as far as that is known. It yields
// once when its time slice is over, and in every iteration after kSpinBeforeYield: if another
// thread takes the processor then, processors are scarce, and the worker had better sleep.
bool Pool::spin(Clock::time_point& slice_start, Clock::duration limit) const {
  const auto start = Clock::now();
  auto last = start;
  if (start > slice_start + kTimeSlice) {
    std::this_thread::yield();
    slice_start = last = Clock::now();
  }
  for (const auto begin = last; last < begin + limit;) {
    for (int i = 0; i < 16; ++i) {
      spin_once();
      if (open_slots_.load(std::memory_order_relaxed) > 0) return true;
    }
    const bool yields = last > begin + kSpinBeforeYield;
    if (yields) std::this_thread::yield();
    const auto now = Clock::now();
    if (now > last + kPreempted) {
      if (yields) return false;
      slice_start = now;
    }
    last = now;
  }
  return false;
}

// The request with the fewest workers that still has tasks.
WorkRequest* Pool::find_request() {
  WorkRequest* best = nullptr;
  for (WorkRequest* one = first_; one != nullptr; one = one->next_) {
    if (one->open_slots_ > 0 && !one->region_.has_tasks()) {
      open_slots_.store(open_slots_ - std::exchange(one->open_slots_, 0),
                        std::memory_order_relaxed);
    }
    if (one->open_slots_ > 0 && (best == nullptr || one->working_ < best->working_)) best = one;
  }
  return best;
}

// Returns the worker's thread number in the call.
int Pool::join(WorkRequest& request) {
  --request.open_slots_;
  open_slots_.store(open_slots_ - 1, std::memory_order_relaxed);
  --spinning_;
  request.working_.store(request.working_ + 1, std::memory_order_relaxed);
  return ++request.joined_;
}

void Pool::leave(WorkRequest& request) {
  ++spinning_;
  const int others = request.working_ - 1;
  // notified under the lock, and before the caller can see 0: the request exists until then
  if (others == 0 && request.waiting_) request.left_.notify_one();
  request.working_.store(others, std::memory_order_release);
}

}  // namespace heedful
