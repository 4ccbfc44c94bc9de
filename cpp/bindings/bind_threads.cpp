// Threads: how many, and what the runtime lets tests do to it.
#include "bindings/bind_threads.hpp"

#include "bindings/interrupted.hpp"
#include "parallel/cpu_quota.hpp"
#include "parallel/fork.hpp"
#include "parallel/num_threads.hpp"
#include "parallel/scratch.hpp"

namespace heedful {

void register_threads(pybind11::module_& module) {
  namespace py = pybind11;
  install_fork_handler();
  remember_main_thread();
  module.def("default_num_threads", &default_num_threads,
             "What OpenMP would use now, never more than the container's quota.");
  module.def("cpu_quota", &cpu_quota, py::arg("root") = "",
             "Processors the control group under root/proc and root/sys may use; 0: no limit.");
  module.def("fail_allocation", &fail_allocation, py::arg("nth"),
             "Make the nth allocation of a work area from now on fail, counted from 1; 0 disarms. "
             "For tests.");
}

}  // namespace heedful
