// See bind_threads.cpp.
#pragma once

#include <pybind11/pybind11.h>

namespace heedful {

void register_threads(pybind11::module_& module);

// How many threads a call that begins now on this thread uses: this thread's number, else the
// process's, else the default.
int num_threads();

}  // namespace heedful
