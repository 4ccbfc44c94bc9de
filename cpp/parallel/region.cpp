#include "parallel/region.hpp"

#include <utility>

#include "parallel/pause.hpp"

namespace heedful {
namespace {

constexpr std::chrono::milliseconds kPatience{50};

// What the calling thread is doing. `busy` without a worker: it is in team.interrupted, outside of
// all tasks.
struct Here {
  const Worker* worker = nullptr;
  bool busy = false;
};
thread_local Here here;

// Says what the thread is doing for the length of a scope.
class Doing {
 public:
  explicit Doing(const Worker* worker) noexcept
      : before_(std::exchange(here, Here{worker, true})) {}
  ~Doing() { here = before_; }
  Doing(const Doing&) = delete;
  Doing& operator=(const Doing&) = delete;

 private:
  const Here before_;
};

}  // namespace

void Worker::check() {
  if (is_caller_) region_->poll();
  if (region_->is_stopped())
    throw Interrupted();  // the reason is kept in the region, this one is not
}

void Worker::wait(const std::atomic<std::ptrdiff_t>& turn, std::ptrdiff_t value) {
  for (int round = 0; turn.load(std::memory_order_acquire) != value; ++round) {
    check();
    pause(round);
  }
}

Region::Region(std::ptrdiff_t tasks, const Team& team, const WorkAreas& areas, detail::Body body,
               const void* function)
    : tasks_(tasks), team_(team), areas_(areas), body_(body), function_(function) {
  if (team_.interrupted != nullptr) next_poll_ = Clock::now() + kPatience;
  if (team_.threads > 1) std::fegetenv(&floating_point_);
}

bool Region::is_serial_here() noexcept { return here.busy; }

Region* Region::current() noexcept {
  return here.worker == nullptr ? nullptr : here.worker->region_;
}

void Region::work(int thread, bool is_caller) noexcept {
  Worker worker;
  worker.scratch = areas_.of(thread);
  worker.region_ = this;
  worker.is_caller_ = is_caller;
  try {
    const Doing tasks(&worker);
    for (;;) {
      const std::ptrdiff_t task = next_task_.fetch_add(1, std::memory_order_relaxed);
      if (task >= tasks_) break;
      worker.check();
      body_(function_, task, worker);
    }
  } catch (...) {
    stop(std::current_exception());
  }
  {
    const std::lock_guard lock(mutex_);
    ++finished_;
  }
  changed_.notify_one();
}

void Region::work_like_caller(int thread) noexcept {
  std::fenv_t own;
  std::fegetenv(&own);
  std::fesetenv(&floating_point_);
  work(thread, false);
  std::fesetenv(&own);
}

void Region::work_inside(std::ptrdiff_t tasks, const WorkAreas& areas, detail::Body body,
                         const void* function) {
  Worker worker = *here.worker;
  worker.scratch = areas.of(0);
  for (std::ptrdiff_t task = 0; task < tasks; ++task) {
    worker.check();
    body(function, task, worker);
  }
}

void Region::wait_for(int threads) {
  if (team_.interrupted == nullptr) return;  // nobody to ask: OpenMP's own barrier waits as well
  for (int round = 0; round < 100; ++round) {
    if (finished_.load(std::memory_order_acquire) == threads) return;
    pause(round);
  }
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, kPatience, [&] { return finished_ == threads; })) {
    lock.unlock();
    poll();
    lock.lock();
  }
}

void Region::poll() noexcept {
  if (team_.interrupted == nullptr || Clock::now() < next_poll_) return;
  {
    const Doing asking(nullptr);
    if (team_.interrupted()) stop(std::make_exception_ptr(Interrupted()));
  }
  next_poll_ = Clock::now() + kPatience;
}

void Region::stop(std::exception_ptr reason) noexcept {
  if (!stopped_.exchange(true)) failure_ = std::move(reason);
}

void Region::rethrow() const {
  if (failure_) std::rethrow_exception(failure_);
}

}  // namespace heedful
