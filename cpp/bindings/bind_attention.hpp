// The functions of attention: each adds those of its file to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace heedful {

void register_forward(pybind11::module_& module);
void register_backward(pybind11::module_& module);
void register_weights(pybind11::module_& module);
void register_merge(pybind11::module_& module);
void register_narrow(pybind11::module_& module);
void register_describe(pybind11::module_& module);
void register_items(pybind11::module_& module);

}  // namespace heedful
