// Computing while other Python threads run, and still hearing Ctrl-C.
#pragma once

#include <type_traits>

#include "parallel/parallel_for.hpp"

namespace heedful {

// Whether Python wants the computation to end: a signal handler (Ctrl-C) has raised. For
// Team::interrupted, within without_gil. Python runs signal handlers on its main thread alone: on
// others the answer is no.
bool interrupted();

// Learns which thread that is. Called once, when the module is loaded.
void remember_main_thread();

// A team of this size that hears Ctrl-C.
inline Team team_of(int threads) { return Team{threads, &interrupted}; }

namespace detail {
void run_without_gil(void (*compute)(void* function), void* function);
}  // namespace detail

// Runs compute(), which touches no Python object, without the interpreter lock. Interrupted comes
// out as the signal handler's exception (KeyboardInterrupt), std::bad_alloc as MemoryError.
template <class Function>
void without_gil(Function&& compute) {
  using Plain = std::remove_reference_t<Function>;
  detail::run_without_gil([](void* function) { (*static_cast<Plain*>(function))(); },
                          const_cast<void*>(static_cast<const void*>(&compute)));
}

}  // namespace heedful
