// narrow
#include "arrays/narrow.hpp"
#include "bindings/arguments.hpp"
#include "bindings/bind_attention.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/numpy_view.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

py::object narrow_array(Arguments& arguments) {
  const py::array wide = arguments.array();
  py::array narrowed = arguments.array();
  const auto* const from = static_cast<const float*>(wide.data());
  auto* const to = static_cast<char*>(narrowed.mutable_data());
  const ElementType type = readable_type(narrowed.dtype()).value();
  const std::ptrdiff_t count = wide.size();
  with_team(Cost::of_elements(static_cast<double>(count)),
            [&](const Team& team) { narrow(from, to, type, count, team); });
  return py::none();
}

}  // namespace

void register_narrow(py::module_& module) { define<&narrow_array, 2>(module, "narrow"); }

}  // namespace heedful
