// dropout
#include "bindings/arguments.hpp"
#include "bindings/bind_layers.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/layer_arrays.hpp"
#include "layers/dropout.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

template <class T>
void drop(const Dropout& dropout, const py::array& x, const py::object& residual,
          const py::array& y) {
  const T *const from = elements_of<const T>(x), *const added = elements_or_none<const T>(residual);
  T* const to = elements_of<T>(y);
  const std::ptrdiff_t count = y.size();
  with_team(cost_of(y),
            [&](const Team& team) { apply_dropout(dropout, from, added, to, count, team); });
}

py::object dropout_of(Arguments& arguments) {
  const py::array x = arguments.array();
  const py::object residual = arguments.array_or_none();
  const py::array y = arguments.array();
  const double p = arguments.number();
  const Dropout dropout{p, arguments.seed()};
  const auto compute = is_double(y) ? drop<double> : drop<float>;
  compute(dropout, x, residual, y);
  return py::none();
}

}  // namespace

void register_dropout(py::module_& module) { define<&dropout_of, 5>(module, "dropout"); }

}  // namespace heedful
