// activation_forward, activation_backward, gated_activation_forward, gated_activation_backward
#include <string_view>
#include <utility>

#include "bindings/arguments.hpp"
#include "bindings/bind_layers.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/layer_arrays.hpp"
#include "kernels/activations.hpp"
#include "layers/gated_activation.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

constexpr std::pair<std::string_view, Activation> activations[] = {
    {"", Activation::none},          {"relu", Activation::relu},
    {"gelu", Activation::gelu},      {"gelu_tanh", Activation::gelu_tanh},
    {"silu", Activation::silu},      {"tanh", Activation::tanh},
    {"sigmoid", Activation::sigmoid}};

template <class T>
void activate(Activation kind, const py::array& x, const py::array& y) {
  const T* const from = elements_of<const T>(x);
  T* const to = elements_of<T>(y);
  const std::ptrdiff_t count = y.size();
  with_team(cost_of(y), [&](const Team& team) { activation_forward(kind, from, to, count, team); });
}

template <class T>
void activation_gradient(Activation kind, const py::array& before, const py::array& dy,
                         const py::array& dbefore) {
  const T *const x = elements_of<const T>(before), *const dy_data = elements_of<const T>(dy);
  T* const to = elements_of<T>(dbefore);
  const std::ptrdiff_t count = dbefore.size();
  with_team(cost_of(dbefore),
            [&](const Team& team) { activation_backward(kind, x, dy_data, to, count, team); });
}

py::object activation_forward_of(Arguments& arguments) {
  const Activation kind = activation_of(arguments.any());
  const py::array x = arguments.array(), y = arguments.array();
  const auto compute = is_double(y) ? activate<double> : activate<float>;
  compute(kind, x, y);
  return py::none();
}

py::object activation_backward_of(Arguments& arguments) {
  const Activation kind = activation_of(arguments.any());
  const py::array before = arguments.array(), dy = arguments.array();
  const py::array dbefore = arguments.array();
  const auto compute =
      is_double(dbefore) ? activation_gradient<double> : activation_gradient<float>;
  compute(kind, before, dy, dbefore);
  return py::none();
}

// Of x (N, 2 F).
GatedSizes gated_sizes(const py::array& x) { return {x.shape(0), x.shape(1) / 2}; }

template <class T>
void gate(Activation kind, const py::array& x, const py::array& y) {
  const GatedSizes sizes = gated_sizes(x);
  const T* const from = elements_of<const T>(x);
  T* const to = elements_of<T>(y);
  with_team(cost_of(x),
            [&](const Team& team) { gated_activation_forward(kind, sizes, from, to, team); });
}

template <class T>
void gate_gradient(Activation kind, const py::array& x, const py::array& dy, const py::array& dx) {
  const GatedSizes sizes = gated_sizes(x);
  const T *const from = elements_of<const T>(x), *const dy_data = elements_of<const T>(dy);
  T* const to = elements_of<T>(dx);
  with_team(cost_of(x), [&](const Team& team) {
    gated_activation_backward(kind, sizes, from, dy_data, to, team);
  });
}

py::object gated_activation_forward_of(Arguments& arguments) {
  const Activation kind = activation_of(arguments.any());
  const py::array x = arguments.array(), y = arguments.array();
  const auto compute = is_double(y) ? gate<double> : gate<float>;
  compute(kind, x, y);
  return py::none();
}

py::object gated_activation_backward_of(Arguments& arguments) {
  const Activation kind = activation_of(arguments.any());
  const py::array x = arguments.array(), dy = arguments.array(), dx = arguments.array();
  const auto compute = is_double(dx) ? gate_gradient<double> : gate_gradient<float>;
  compute(kind, x, dy, dx);
  return py::none();
}

}  // namespace

Activation activation_of(py::handle name) {
  Py_ssize_t size = 0;
  const char* const text = PyUnicode_AsUTF8AndSize(name.ptr(), &size);
  if (text == nullptr) throw py::error_already_set();
  const std::string_view wanted(text, static_cast<std::size_t>(size));
  for (const auto& [known, kind] : activations) {
    if (known == wanted) return kind;
  }
  throw py::value_error("unknown activation: " + std::string(wanted));
}

void register_activations(py::module_& module) {
  define<&activation_forward_of, 3>(module, "activation_forward");
  define<&activation_backward_of, 4>(module, "activation_backward");
  define<&gated_activation_forward_of, 3>(module, "gated_activation_forward");
  define<&gated_activation_backward_of, 4>(module, "gated_activation_backward");
}

}  // namespace heedful
