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

// Takes the interpreter lock back. While the interpreter ends, Python before 3.14 ends the other
// threads in this place, by unwinding their stacks: that would run through noexcept functions,
// which ends the process, and destroy Python objects without the lock. Such a thread, a daemon by
// then, waits here for the end of the process instead, as it does from 3.14 on.
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

// The calling thread's state from giving the lock away to taking it back, otherwise nullptr.
thread_local PyThreadState* released = nullptr;

std::atomic<unsigned long> main_thread{0};

// Only there does Python run signal handlers. In a forked child that is the thread that forked.
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

void detail::run_with_team(bool keep_lock, void (*compute)(void* function, const Team& team),
                           void* function) {
  std::exception_ptr failure;
  const Team team = keep_lock ? Team{} : Team{num_threads(), &interrupted};
  if (!keep_lock) released = PyEval_SaveThread();
  try {
    compute(function, team);
  } catch (...) {
    failure = std::current_exception();
  }
  if (!keep_lock) {
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
