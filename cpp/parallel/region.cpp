#include "parallel/region.hpp"

#include <stdexcept>
#include <utility>

#include "parallel/fork.hpp"
#include "parallel/pause.hpp"
#include "parallel/pool.hpp"

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

bool Region::is_serial_here() noexcept { return here.busy; }

Region* Region::current() noexcept {
  return here.worker == nullptr ? nullptr : here.worker->region_;
}

Worker Region::worker(int area, bool is_caller) noexcept {
  Worker worker;
  worker.scratch = areas_.of(area);
  worker.region_ = this;
  worker.is_caller_ = is_caller;
  return worker;
}

void Region::work_alone() {
  Worker worker = this->worker(0, true);
  const Doing tasks(&worker);
  body_(function_, 0, worker);
  for (std::ptrdiff_t task = 1; task < tasks_; ++task) {
    worker.check();
    body_(function_, task, worker);
  }
}

void Region::work_together() {
  std::fegetenv(&floating_point_);
  together_ = true;
  generation_ = generation();
  Pool& pool = Pool::of_process();
  Invitation invitation(*this, team_.threads - 1);
  pool.invite(invitation);
  work(0, true);
  if (generation_ == generation()) {  // otherwise the helpers and their pool are in the parent
    pool.withdraw(invitation);
    while (!pool.have_left(invitation, kPatience)) poll();
  }
  if (failure_) std::rethrow_exception(failure_);
}

void Region::work(int area, bool is_caller) noexcept {
  Worker worker = this->worker(area, is_caller);
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
}

void Region::help(int area) noexcept {
  std::fenv_t own;
  std::fegetenv(&own);
  std::fesetenv(&floating_point_);
  work(area, false);
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

void Region::poll() noexcept {
  if (team_.interrupted == nullptr) return;
  const auto now = Clock::now();
  if (next_poll_ == Clock::time_point{}) next_poll_ = now + kPatience;
  if (now < next_poll_) return;
  {
    const Doing asking(nullptr);
    if (team_.interrupted()) stop(std::make_exception_ptr(Interrupted()));
  }
  if (together_ && generation_ != generation()) {
    stop(std::make_exception_ptr(std::runtime_error(
        "the process was forked in the middle of this computation, which goes on in the parent")));
  }
  next_poll_ = Clock::now() + kPatience;
}

void Region::stop(std::exception_ptr reason) noexcept {
  if (!stopped_.exchange(true)) failure_ = std::move(reason);
}

}  // namespace heedful
