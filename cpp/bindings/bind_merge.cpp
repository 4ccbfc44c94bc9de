// merge_attention
#include "attention/merge.hpp"
#include "bindings/bind_attention.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/numpy_view.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

void merge(const py::sequence& outs, const py::sequence& lses, const py::array& out,
           const py::array& lse, int threads) {
  const py::ssize_t axes = out.ndim();
  Batch batch(py::tuple(out.attr("shape"))[py::slice(0, axes - 3, 1)]);
  std::vector<TensorView> out_views, lse_views;
  for (const auto& piece : outs) {
    out_views.push_back(batch.view(py::reinterpret_borrow<py::array>(piece)));
  }
  for (const auto& piece : lses) {
    lse_views.push_back(batch.view_of_rows(py::reinterpret_borrow<py::array>(piece)));
  }
  const MergeSizes sizes{static_cast<std::ptrdiff_t>(out_views.size()), batch.size(),
                         out.shape(axes - 3), out.shape(axes - 2), out.shape(axes - 1)};
  const TensorView result = batch.view(out), sums = batch.view_of_rows(lse);
  const auto compute =
      result.type == ElementType::float64 ? merge_attention<double> : merge_attention<float>;
  without_gil(
      [&] { compute(sizes, out_views.data(), lse_views.data(), result, sums, team_of(threads)); });
}

}  // namespace

void register_merge(py::module_& module) { module.def("merge_attention", &merge); }

}  // namespace heedful
