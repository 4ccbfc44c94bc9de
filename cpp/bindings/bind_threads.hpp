// See bind_threads.cpp.
#pragma once

#include <pybind11/pybind11.h>

namespace heedful {

void register_threads(pybind11::module_& module);

}  // namespace heedful
