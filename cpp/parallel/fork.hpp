// Detecting forks: of all threads only the one that called fork exists in the child; the pool's do
// not.
#pragma once

namespace heedful {

// Detects forks from now on. Called once, when the module is loaded.
void install_fork_handler();

// Whether this thread is the one that called fork, in the child.
bool has_forked() noexcept;

// How many forks there were from the process that installed the handler to this one.
int generation() noexcept;

}  // namespace heedful
