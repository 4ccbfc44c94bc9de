#include "parallel/fork.hpp"

#include <pthread.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>

namespace heedful {
namespace {

// Serves one thread with one job at a time, so that its OpenMP team lives on from call to call.
class StandIn {
 public:
  // The thread is never joined: it may be in a job when the process ends. It keeps this object
  // alive.
  static StandIn* start() {
    auto stand_in = std::make_unique<StandIn>();
    std::thread(&StandIn::serve, stand_in.get()).detach();
    return stand_in.release();
  }

  void run(const std::function<void()>& job, const std::function<void()>& tick) {
    std::unique_lock lock(mutex_);
    job_ = &job;
    changed_.notify_all();
    while (
        !changed_.wait_for(lock, std::chrono::milliseconds(50), [&] { return job_ == nullptr; })) {
      lock.unlock();
      tick();
      lock.lock();
    }
  }

 private:
  void serve() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return job_ != nullptr; });
      lock.unlock();
      (*job_)();
      lock.lock();
      job_ = nullptr;
      changed_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void()>* job_ = nullptr;
};

thread_local bool forked = false;
thread_local StandIn* stand_in = nullptr;

// Runs in the child, on the thread that forked: the only one that is left.
void after_fork_in_child() {
  forked = true;
  stand_in = nullptr;  // of a child that forks in its turn; its thread is gone, its memory too
                       // small to matter
}

}  // namespace

void install_fork_handler() {
  static std::atomic<bool> installed{false};
  if (!installed.exchange(true)) pthread_atfork(nullptr, nullptr, &after_fork_in_child);
}

bool has_forked() noexcept { return forked; }

bool run_on_stand_in(const std::function<void()>& job, const std::function<void()>& tick) {
  if (stand_in == nullptr) {
    try {
      stand_in = StandIn::start();
    } catch (const std::system_error&) {
      return false;
    }
  }
  stand_in->run(job, tick);
  return true;
}

}  // namespace heedful
