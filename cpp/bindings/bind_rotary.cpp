// rotary
#include "bindings/arguments.hpp"
#include "bindings/bind_layers.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/layer_arrays.hpp"
#include "bindings/numpy_view.hpp"
#include "layers/rotary.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

py::object rotary(Arguments& arguments) {
  const py::array x = arguments.array(), y = arguments.array();
  const py::array cos = arguments.array(), sin = arguments.array();
  const py::tuple shape = arguments.tuple();
  Batch batch(shape, arguments.flag());
  const bool interleaved = arguments.flag();
  const Rotary call{batch.size(),
                    batch.heads(x),
                    batch.rows(x),
                    x.shape(x.ndim() - 1),
                    cos.shape(cos.ndim() - 1),
                    interleaved,
                    batch.view(x),
                    batch.view(y),
                    batch.view_without_heads(cos),
                    batch.view_without_heads(sin)};
  const auto compute =
      call.cos.type == ElementType::float64 ? rotate_rows<double> : rotate_rows<float>;
  with_team(cost_of(call), [&](const Team& team) { compute(call, team); });
  return py::none();
}

}  // namespace

void register_rotary(py::module_& module) { define<&rotary, 7>(module, "rotary"); }

}  // namespace heedful
