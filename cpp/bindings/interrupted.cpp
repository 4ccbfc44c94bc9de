#include "bindings/interrupted.hpp"

#include <pybind11/pybind11.h>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

#include <atomic>
#include <chrono>
#include <exception>
#include <new>
#include <thread>
#include <utility>

#include "bindings/bind_threads.hpp"
#include "parallel/fork.hpp"

namespace heedful {
namespace {

// Reacquires the GIL. While the interpreter shuts down, Python before 3.14 terminates other threads
// here, by unwinding their stacks: that would pass noexcept functions, which terminates the
// process, and destroy Python objects without the GIL. Such a thread, a daemon by then, waits here
// for the end of the process instead, as from Python 3.14 on. (The exception object of a forced
// unwinding is null, which the undefined-behaviour sanitizer would report.)
#ifdef __GLIBCXX__
[[gnu::no_sanitize("undefined")]]
#endif
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

// The calling thread's state from releasing the GIL to reacquiring it, otherwise nullptr.
thread_local PyThreadState* released = nullptr;

std::atomic<unsigned long> main_thread{0};

// Python runs signal handlers on its main thread only. In a forked child that is the thread that
// called fork.
bool is_main_thread() {
  return has_forked() || PyThread_get_thread_ident() == main_thread.load(std::memory_order_relaxed);
}

}  // namespace

void remember_main_thread() {
  const auto thread = pybind11::module_::import("threading").attr("main_thread")();
  main_thread = thread.attr("ident").cast<unsigned long>();
}

bool interrupted() {
  if (released == nullptr || !is_main_thread()) return false;
  take_gil(std::exchange(released, nullptr));
  const bool stop = PyErr_CheckSignals() != 0;  // the handler's exception stays with this thread
  released = PyEval_SaveThread();
  return stop;
}

void detail::run_with_team(bool keep_gil, void (*compute)(void* function, const Team& team),
                           void* function) {
  std::exception_ptr failure;
  const Team team = keep_gil ? Team{} : Team{num_threads(), &interrupted};
  if (!keep_gil) released = PyEval_SaveThread();
  try {
    compute(function, team);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!keep_gil) {
    take_gil(std::exchange(released, nullptr));
    if (PyErr_Occurred() != nullptr) throw pybind11::error_already_set();
  }
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
