// merge_attention
#include "attention/softmax/merge.hpp"
#include "bindings/arguments.hpp"
#include "bindings/bind_attention.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/numpy_view.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

py::object merge(Arguments& arguments) {
  const py::tuple outs = arguments.tuple(), lses = arguments.tuple();
  const py::array out = arguments.array(), lse = arguments.array();
  const py::tuple shape = arguments.tuple();
  Batch batch(shape, arguments.flag());
  std::vector<TensorView> out_views, lse_views;
  for (const auto& piece : outs) {
    out_views.push_back(batch.view(py::reinterpret_borrow<py::array>(piece)));
  }
  for (const auto& piece : lses) {
    lse_views.push_back(batch.view_of_rows(py::reinterpret_borrow<py::array>(piece)));
  }
  const MergeSizes sizes{static_cast<std::ptrdiff_t>(out_views.size()), batch.size(),
                         batch.heads(out), batch.rows(out), out.shape(out.ndim() - 1)};
  const TensorView result = batch.view(out), sums = batch.view_of_rows(lse);
  const auto compute =
      result.type == ElementType::float64 ? merge_attention<double> : merge_attention<float>;
  with_team(cost_of(sizes), [&](const Team& team) {
    compute(sizes, out_views.data(), lse_views.data(), result, sums, team);
  });
  return py::none();
}

}  // namespace

void register_merge(py::module_& module) { define<&merge, 6>(module, "merge_attention"); }

}  // namespace heedful
