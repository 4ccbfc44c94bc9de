// Computing after fork. The OpenMP team of the thread that forked is gone in the child, but OpenMP
// does not know it and waits for it for ever. There, a stand-in thread, which never forked, opens
// the parallel regions.
#pragma once

#include <functional>

namespace heedful {

// Watches for forks from now on. Called once, when the module is loaded.
void install_fork_handler();

// Whether this thread is the one that a fork has carried into this process.
bool has_forked() noexcept;

// Runs job on the calling thread's stand-in and returns when it is done; meanwhile calls tick every
// 50 ms here. Neither may throw. Where no thread can be started, returns false and has run nothing.
bool run_on_stand_in(const std::function<void()>& job, const std::function<void()>& tick);

}  // namespace heedful
