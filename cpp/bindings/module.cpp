// The contents of every compiled module. This file is compiled once; entry_point.cpp adds the name
// of each level.
#include <pybind11/pybind11.h>

#include <string>

#include "bindings/bind_attention.hpp"
#include "bindings/bind_layers.hpp"
#include "bindings/bind_threads.hpp"
#include "simd/bfloat16_ways.hpp"
#include "simd/instruction_sets.hpp"
#include "simd/int8_ways.hpp"

namespace {

pybind11::dict show_build() {
  pybind11::dict build;
  // clang puts its name before its version, g++ has the version alone
  const bool is_gnu = __VERSION__[0] >= '0' && __VERSION__[0] <= '9';
  build["compiler"] = std::string(is_gnu ? "g++ " : "") + __VERSION__;
  build["eigen"] = heedful::simd::eigen_version();
  build["instructions"] = heedful::simd::instruction_sets();
  const heedful::simd::Bfloat16Description bfloat16 = heedful::simd::bfloat16_description();
  build["bfloat16"] = bfloat16.way;
  build["bfloat16_reason"] = bfloat16.reason;
  build["int8"] = heedful::simd::int8_way_name();
  return build;
}

}  // namespace

PYBIND11_MODULE(native_body, module, pybind11::mod_gil_not_used()) {
  heedful::register_threads(module);
  heedful::register_forward(module);
  heedful::register_backward(module);
  heedful::register_weights(module);
  heedful::register_merge(module);
  heedful::register_narrow(module);
  heedful::register_describe(module);
  heedful::register_items(module);
  heedful::register_linear(module);
  heedful::register_activations(module);
  heedful::register_dropout(module);
  heedful::register_norm(module);
  heedful::register_rotary(module);
  heedful::register_linear_attention(module);
  heedful::register_recurrent(module);
  heedful::register_training(module);
  module.def("show_build", &show_build, "How this module was compiled.");
  module.def("force_bfloat16", &heedful::simd::force_bfloat16, pybind11::arg("way"),
             "Multiply bfloat16 that way, in the whole process; empty: as the processor does best. "
             "Returns why it cannot, if so.");
  module.def("force_int8", &heedful::simd::force_int8, pybind11::arg("way"),
             "Multiply int8 that way, likewise.");
}
