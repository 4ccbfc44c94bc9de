// The compiled module: a table of contents.
#include <pybind11/pybind11.h>

#include <Eigen/Core>
#include <string>

#include "bindings/bind_attention.hpp"
#include "bindings/bind_layers.hpp"
#include "bindings/bind_threads.hpp"
#include "simd/bfloat16_pairs.hpp"

namespace {

pybind11::dict show_build() {
  pybind11::dict build;
  // clang says its name before its version, g++ the version alone
  const bool is_gnu = __VERSION__[0] >= '0' && __VERSION__[0] <= '9';
  build["compiler"] = std::string(is_gnu ? "g++ " : "") + __VERSION__;
  build["eigen"] = std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) +
                   "." + std::to_string(EIGEN_MINOR_VERSION);
  build["instructions"] = Eigen::SimdInstructionSetsInUse();
  build["bfloat16"] = heedful::simd::has_bfloat16_pairs() ? "pairs" : "widened";
  return build;
}

}  // namespace

PYBIND11_MODULE(HEEDFUL_MODULE, module, pybind11::mod_gil_not_used()) {
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
  heedful::register_training(module);
  module.def("show_build", &show_build, "How this module was compiled.");
}
