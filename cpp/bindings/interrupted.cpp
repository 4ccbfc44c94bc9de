#include "bindings/interrupted.hpp"

#include <pybind11/pybind11.h>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

#include <chrono>
#include <exception>
#include <new>
#include <thread>
#include <utility>

namespace heedful {
namespace {

// Takes the interpreter lock back. While the interpreter ends, Python before 3.14 ends the other
// threads in this place, by unwinding their stacks: that would run through OpenMP and destroy
// Python objects without the lock. Such a thread, a daemon by then, waits here for the end of the
// process instead, as it does from 3.14 on.
void take_gil(PyThreadState* state) {
#ifdef __GLIBCXX__
  try {
    PyEval_RestoreThread(state);
  } catch (abi::__forced_unwind&) {
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
  }
#else
  PyEval_RestoreThread(state);
#endif
}

// The calling thread between giving the lock away and taking it back.
struct Released {
  PyThreadState* state = nullptr;
  bool knows_thread = false;
  bool is_main_thread = false;
};
thread_local Released* released = nullptr;

bool is_main_thread() {
  const auto main_thread = pybind11::module_::import("threading").attr("main_thread")();
  return main_thread.attr("ident").cast<unsigned long>() == PyThread_get_thread_ident();
}

}  // namespace

bool interrupted() {
  Released* const here = released;
  if (here == nullptr || (here->knows_thread && !here->is_main_thread)) return false;
  take_gil(here->state);
  if (!here->knows_thread) {
    try {
      here->is_main_thread = is_main_thread();
    } catch (pybind11::error_already_set& error) {
      error.discard_as_unraisable("heedful");
      here->is_main_thread = true;  // asking too often is harmless
    }
    here->knows_thread = true;
  }
  const bool stop = here->is_main_thread && PyErr_CheckSignals() != 0;
  here->state = PyEval_SaveThread();
  return stop;
}

void detail::run_without_gil(void (*compute)(void* function), void* function) {
  Released here;
  here.state = PyEval_SaveThread();
  Released* const outer = std::exchange(released, &here);  // not null within a signal handler
  std::exception_ptr failure;
  try {
    compute(function);
  } catch (...) {
    failure = std::current_exception();
  }
  released = outer;
  take_gil(here.state);
  if (PyErr_Occurred() != nullptr) throw pybind11::error_already_set();
  if (!failure) return;
  try {
    std::rethrow_exception(failure);
  } catch (const Interrupted&) {
    PyErr_SetNone(PyExc_KeyboardInterrupt);
    throw pybind11::error_already_set();
  } catch (const std::bad_alloc&) {
    PyErr_SetString(PyExc_MemoryError, "not enough memory for the work areas of this computation");
    throw pybind11::error_already_set();
  }
}

}  // namespace heedful
