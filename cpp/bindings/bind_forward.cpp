// attention_forward
#include "attention/forward.hpp"
#include "bindings/bind_attention.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/numpy_view.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

void forward(const py::array& query, const py::array& key, const py::array& value,
             const py::array& out, const py::object& lse, const py::sequence& batch_shape,
             const py::object& items, std::ptrdiff_t offset, double scale, double softcap,
             std::ptrdiff_t left, std::ptrdiff_t right, const py::object& mask,
             const py::object& bias, const py::object& alibi_slopes, const py::object& sink,
             double dropout_p, std::uint64_t seed, int threads) {
  Batch batch(batch_shape);
  ProblemOf given(batch, query, key, items, offset,
                  {scale, softcap, left, right, mask, bias, alibi_slopes});
  Problem& problem = given.problem;
  problem.value_depth = value.shape(value.ndim() - 1);
  if (!sink.is_none()) {
    problem.sink = static_cast<const double*>(py::reinterpret_borrow<py::array>(sink).data());
  }
  problem.dropout_p = dropout_p;
  problem.seed = seed;
  const TensorView queries = batch.view(query), keys = batch.view(key), values = batch.view(value);
  const TensorView outs = batch.view(out), sums = batch.view_of_rows_or_none(lse);
  const auto compute =
      queries.type == ElementType::float64 ? attention_forward<double> : attention_forward<float>;
  without_gil([&] { compute(problem, queries, keys, values, outs, sums, team_of(threads)); });
}

}  // namespace

void register_forward(py::module_& module) { module.def("attention_forward", &forward); }

}  // namespace heedful
