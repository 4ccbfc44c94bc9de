#include "parallel/fork.hpp"

#include <pthread.h>

#include <atomic>

#include "parallel/pool.hpp"

namespace heedful {
namespace {

thread_local bool forked = false;
std::atomic<int> forks{0};

// Runs in the child, on the thread that called fork: the only one there. The parent's pool may be
// locked by a thread that does not exist in the child, so it is not touched again.
void after_fork_in_child() {
  forked = true;
  ++forks;
  Pool::forget();
}

}  // namespace

void install_fork_handler() {
  static std::atomic<bool> installed{false};
  if (!installed.exchange(true)) pthread_atfork(nullptr, nullptr, &after_fork_in_child);
}

bool has_forked() noexcept { return forked; }

int generation() noexcept { return forks.load(std::memory_order_relaxed); }

}  // namespace heedful
