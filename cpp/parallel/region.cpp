#include "parallel/region.hpp"

#include <stdexcept>
#include <utility>

#include "parallel/fork.hpp"
#include "parallel/openmp_team.hpp"
#include "parallel/pause.hpp"
#include "parallel/pool.hpp"

namespace heedful {
namespace {

constexpr std::chrono::milliseconds kPollInterval{50};

// What the calling thread is doing. `busy` without a worker: it is in team.interrupted, outside all
// tasks.
struct Activity {
  const Worker* worker = nullptr;
  bool busy = false;
};
thread_local Activity activity;

// Sets the thread's activity for the length of a scope.
class ActivityScope {
 public:
  explicit ActivityScope(const Worker* worker) noexcept
      : before_(std::exchange(activity, Activity{worker, true})) {}
  ~ActivityScope() { activity = before_; }
  ActivityScope(const ActivityScope&) = delete;
  ActivityScope& operator=(const ActivityScope&) = delete;

 private:
  const Activity before_;
};

}  // namespace

void Worker::check() {
  if (is_caller_) region_->poll();
  if (region_->is_stopped())
    throw Interrupted();  // the region keeps the reason, this exception is dropped
}

void Worker::wait(const std::atomic<std::ptrdiff_t>& counter, std::ptrdiff_t value) {
  for (int round = 0; counter.load(std::memory_order_acquire) != value; ++round) {
    check();
    pause(round);
  }
}

bool Region::is_serial_here() noexcept { return activity.busy; }

Region* Region::current() noexcept {
  return activity.worker == nullptr ? nullptr : activity.worker->region_;
}

Worker Region::worker(int thread, bool is_caller) noexcept {
  Worker worker;
  worker.scratch = scratch_.of(thread);
  worker.region_ = this;
  worker.is_caller_ = is_caller;
  return worker;
}

void Region::run_serial() {
  Worker worker = this->worker(0, true);
  const ActivityScope tasks(&worker);
  body_(function_, 0, worker);
  worker.first_task = false;
  for (std::ptrdiff_t task = 1; task < tasks_; ++task) {
    worker.check();
    body_(function_, task, worker);
  }
}

void Region::run_parallel() {
  std::fegetenv(&floating_point_);
  parallel_ = true;
  generation_ = generation();
  if (const OpenMpLibrary* const library = openmp_library_here()) {
    run_in_team(*library);
  } else {
    run_in_pool();
  }
  if (failure_) std::rethrow_exception(failure_);
}

// In a child that was forked meanwhile the workers do not exist, and nothing is waited for.
void Region::run_in_pool() {
  Pool& pool = Pool::of_process();
  WorkRequest request(*this, team_.threads - 1);
  pool.submit(request);
  run_tasks(0, true);
  if (generation_ != generation()) return;
  pool.cancel(request);
  while (generation_ == generation() && !pool.wait_until_left(request, kPollInterval)) poll();
}

void Region::run_in_team(const OpenMpLibrary& library) {
  TeamRequest request(*this, team_.threads - 1);
  request.start(library);
  run_tasks(0, true);
  // the end of the OpenMP region does not poll
  for (int round = 0; generation_ == generation() && !request.is_empty(); ++round) {
    poll();
    pause(round);
  }
  if (generation_ == generation()) TeamRequest::end(library);
}

void Region::run_tasks(int thread, bool is_caller) noexcept {
  Worker worker = this->worker(thread, is_caller);
  try {
    const ActivityScope tasks(&worker);
    for (;;) {
      const std::ptrdiff_t task = next_task_.fetch_add(1, std::memory_order_relaxed);
      if (task >= tasks_) break;
      worker.check();
      body_(function_, task, worker);
      worker.first_task = false;
    }
  } catch (...) {
    stop(std::current_exception());
  }
}

void Region::run_on_worker(int thread) noexcept {
  std::fenv_t before;
  std::fegetenv(&before);
  std::fesetenv(&floating_point_);
  run_tasks(thread, false);
  std::fesetenv(&before);
}

void Region::run_nested(std::ptrdiff_t tasks, const ThreadScratch& scratch, detail::Body body,
                        const void* function) {
  Worker worker = *activity.worker;
  worker.scratch = scratch.of(0);
  worker.first_task = true;
  for (std::ptrdiff_t task = 0; task < tasks; ++task) {
    worker.check();
    body(function, task, worker);
    worker.first_task = false;
  }
}

void Region::poll() noexcept {
  if (team_.interrupted == nullptr) return;
  const auto now = Clock::now();
  if (next_poll_ == Clock::time_point{}) next_poll_ = now + kPollInterval;
  if (now < next_poll_) return;
  {
    const ActivityScope interrupted(nullptr);
    if (team_.interrupted()) stop(std::make_exception_ptr(Interrupted()));
  }
  if (parallel_ && generation_ != generation()) {
    stop(
        std::make_exception_ptr(std::runtime_error("the process was forked in the middle of this "
                                                   "computation, which continues in the parent")));
  }
  next_poll_ = Clock::now() + kPollInterval;
}

void Region::stop(std::exception_ptr reason) noexcept {
  if (!stopped_.exchange(true)) failure_ = std::move(reason);
}

}  // namespace heedful
