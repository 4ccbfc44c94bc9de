// The functions of the layers: each adds those of its file to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace heedful {

void register_linear(pybind11::module_& module);
void register_activations(pybind11::module_& module);
void register_dropout(pybind11::module_& module);
void register_norm(pybind11::module_& module);
void register_rotary(pybind11::module_& module);
void register_linear_attention(pybind11::module_& module);
void register_recurrent(pybind11::module_& module);
void register_training(pybind11::module_& module);

}  // namespace heedful
