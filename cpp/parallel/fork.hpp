// What a fork changes: of all threads only the one that forked is in the child, the pool's are
// gone.
#pragma once

namespace heedful {

// Watches for forks from now on. Called once, when the module is loaded.
void install_fork_handler();

// Whether this thread is the one that a fork has carried into this process.
bool has_forked() noexcept;

// How many forks lie between the process that installed the handler and this one.
int generation() noexcept;

}  // namespace heedful
