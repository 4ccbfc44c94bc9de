// The number of threads, and hooks for tests.
#include "bindings/bind_threads.hpp"

#include <atomic>
#include <cstdint>
#include <utility>

#include "bindings/interrupted.hpp"
#include "parallel/cpu_quota.hpp"
#include "parallel/fork.hpp"
#include "parallel/num_threads.hpp"
#include "parallel/openmp_team.hpp"
#include "parallel/scratch.hpp"

namespace heedful {
namespace {

// 0: not set. Kept here and not in Python, where every call would have to look them up.
thread_local int of_thread = 0;
std::atomic<int> of_process{0};

void set_num_threads(int number) { of_process.store(number, std::memory_order_relaxed); }
int exchange_threads_here(int number) { return std::exchange(of_thread, number); }

void set_openmp(std::uintptr_t start, std::uintptr_t end) {
  set_openmp_library({reinterpret_cast<decltype(OpenMpLibrary::start)>(start),
                      reinterpret_cast<decltype(OpenMpLibrary::end)>(end)});
}

}  // namespace

int num_threads() {
  if (of_thread > 0) return of_thread;
  const int number = of_process.load(std::memory_order_relaxed);
  return number > 0 ? number : default_num_threads();
}

void register_threads(pybind11::module_& module) {
  namespace py = pybind11;
  install_fork_handler();
  remember_main_thread();
  module.def("default_num_threads", &default_num_threads,
             "What OpenMP would use now, never more than the container's quota.");
  module.def("num_threads", &num_threads, "What a call would use that begins now, on this thread.");
  module.def("set_num_threads", &set_num_threads, py::arg("number"),
             "The number for all threads that have none of their own; 0: the default.");
  module.def("exchange_threads_here", &exchange_threads_here, py::arg("number"),
             "The number for the calling thread alone, 0: none. Returns the one before.");
  module.def("set_openmp_library", &set_openmp, py::arg("start"), py::arg("end"),
             "The addresses of another library's GOMP_parallel_start and GOMP_parallel_end.");
  module.def("exchange_openmp_here", &exchange_openmp_here, py::arg("use"),
             "Whether calls of this thread compute in its team in that library. Returns what held "
             "before.");
  module.def("cpu_quota", &cpu_quota, py::arg("root") = "",
             "Processors the control group under root/proc and root/sys may use; 0: no limit.");
  module.def("fail_allocation", &fail_allocation, py::arg("nth"),
             "Make the nth allocation of a work area from now on fail, counted from 1; 0 disarms. "
             "For tests.");
}

}  // namespace heedful
