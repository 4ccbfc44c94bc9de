// norm_forward, norm_backward
#include <algorithm>
#include <limits>

#include "bindings/arguments.hpp"
#include "bindings/bind_layers.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/layer_arrays.hpp"
#include "layers/norm.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

template <class T>
void normalize(const py::array& x, const py::object& weight, const py::object& bias, double epsilon,
               const py::array& y, const py::object& mean, const py::array& rstd) {
  const Norm<T> norm{x.shape(0), x.shape(1), elements_or_none<const T>(weight),
                     std::max(static_cast<T>(epsilon), std::numeric_limits<T>::min())};
  const auto from = matrix_of<const T>(x);
  const auto to = matrix_of<T>(y);
  const T* const added = elements_or_none<const T>(bias);
  T *const means = elements_or_none<T>(mean), *const scales = elements_of<T>(rstd);
  with_team(cost_of(norm),
            [&](const Team& team) { norm_forward<T>(norm, from, added, to, means, scales, team); });
}

py::object norm_forward_of(Arguments& arguments) {
  const py::array x = arguments.array();
  const py::object weight = arguments.array_or_none(), bias = arguments.array_or_none();
  const double epsilon = arguments.number();
  const py::array y = arguments.array();
  const py::object mean = arguments.array_or_none();
  const py::array rstd = arguments.array();
  const auto compute = is_double(y) ? normalize<double> : normalize<float>;
  compute(x, weight, bias, epsilon, y, mean, rstd);
  return py::none();
}

template <class T>
void norm_gradients(const py::array& dy, const py::array& x, const py::object& weight,
                    const py::object& mean, const py::array& rstd, const py::array& dx,
                    const py::object& dweight, const py::object& dbias) {
  const Norm<T> norm{x.shape(0), x.shape(1), elements_or_none<const T>(weight), T{0}};
  const auto dy_rows = matrix_of<const T>(dy), from = matrix_of<const T>(x);
  const auto to = matrix_of<T>(dx);
  const T *const means = elements_or_none<const T>(mean), *const scales =
                                                              elements_of<const T>(rstd);
  T *const weights = elements_or_none<T>(dweight), *const biases = elements_or_none<T>(dbias);
  with_team(cost_of(norm), [&](const Team& team) {
    norm_backward<T>(norm, dy_rows, from, means, scales, to, weights, biases, team);
  });
}

py::object norm_backward_of(Arguments& arguments) {
  const py::array dy = arguments.array(), x = arguments.array();
  const py::object weight = arguments.array_or_none(), mean = arguments.array_or_none();
  const py::array rstd = arguments.array(), dx = arguments.array();
  const py::object dweight = arguments.array_or_none(), dbias = arguments.array_or_none();
  const auto compute = is_double(dx) ? norm_gradients<double> : norm_gradients<float>;
  compute(dy, x, weight, mean, rstd, dx, dweight, dbias);
  return py::none();
}

}  // namespace

void register_norm(py::module_& module) {
  define<&norm_forward_of, 7>(module, "norm_forward");
  define<&norm_backward_of, 8>(module, "norm_backward");
}

}  // namespace heedful
