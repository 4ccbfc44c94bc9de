// Computing without the GIL, while Ctrl-C still works.
#pragma once

#include <type_traits>

#include "parallel/cost.hpp"

namespace heedful {

// Whether Python wants the computation to end: a signal handler (Ctrl-C) has raised. For
// Team::interrupted, within with_team. Python runs signal handlers on its main thread alone: on
// other threads this returns false.
bool interrupted();

// Stores which thread that is. Called once, when the module is loaded.
void remember_main_thread();

// Whether a call is too short to release the GIL: three microseconds. If it is released while other
// threads wait for it, reacquiring it may take milliseconds.
inline bool keeps_gil(const Cost& cost) { return cost.work() < 100e3; }

namespace detail {
void run_with_team(bool keep_gil, void (*compute)(void* function, const Team& team),
                   void* function);
}  // namespace detail

// Runs compute(team), which touches no Python object, without the GIL and on as many threads as the
// caller has chosen; short calls run on the calling thread, which keeps the GIL. Interrupted
// becomes the signal handler's exception (KeyboardInterrupt), std::bad_alloc becomes MemoryError.
template <class Function>
void with_team(const Cost& cost, Function&& compute) {
  using Plain = std::remove_reference_t<Function>;
  detail::run_with_team(
      keeps_gil(cost),
      [](void* function, const Team& team) { (*static_cast<Plain*>(function))(team); },
      const_cast<void*>(static_cast<const void*>(&compute)));
}

}  // namespace heedful
