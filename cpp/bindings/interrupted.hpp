// Computing while other Python threads run, and still hearing Ctrl-C.
#pragma once

#include <type_traits>

#include "parallel/cost.hpp"

namespace heedful {

// Whether Python wants the computation to end: a signal handler (Ctrl-C) has raised. For
// Team::interrupted, within with_team. Python runs signal handlers on its main thread alone: on
// others the answer is no.
bool interrupted();

// Learns which thread that is. Called once, when the module is loaded.
void remember_main_thread();

// Whether a call is too short to release the interpreter lock: three microseconds. Releasing it
// while other threads want it may mean waiting milliseconds to have it again.
inline bool keeps_gil(const Cost& cost) { return cost.work() < 100e3; }

namespace detail {
void run_with_team(bool keep_lock, void (*compute)(void* function, const Team& team),
                   void* function);
}  // namespace detail

// Runs compute(team), which touches no Python object, without the interpreter lock and on as many
// threads as the caller has chosen; short calls at once, on the calling thread, which keeps the
// lock. Interrupted comes out as the signal handler's exception (KeyboardInterrupt), std::bad_alloc
// as MemoryError.
template <class Function>
void with_team(const Cost& cost, Function&& compute) {
  using Plain = std::remove_reference_t<Function>;
  detail::run_with_team(
      keeps_gil(cost),
      [](void* function, const Team& team) { (*static_cast<Plain*>(function))(team); },
      const_cast<void*>(static_cast<const void*>(&compute)));
}

}  // namespace heedful
