// attention_scores and attention_weights
#include "attention/weights.hpp"
#include "bindings/bind_attention.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/numpy_view.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

WantedRows wanted_rows(const py::object& rows, const py::array& query, const py::array& key) {
  WantedRows wanted;
  wanted.count = query.shape(query.ndim() - 2);
  wanted.key_rows = key.shape(key.ndim() - 2);
  if (!rows.is_none()) {
    const auto array = py::reinterpret_borrow<py::array>(rows);
    wanted.rows = static_cast<const std::int64_t*>(array.data());
    wanted.count = array.size();
  }
  return wanted;
}

void scores(const py::array& query, const py::array& key, const py::array& result,
            const py::object& rows, const py::sequence& batch_shape, const py::object& items,
            std::ptrdiff_t offset, double scale, double softcap, std::ptrdiff_t left,
            std::ptrdiff_t right, const py::object& mask, const py::object& bias,
            const py::object& alibi_slopes, int threads) {
  Batch batch(batch_shape);
  ProblemOf given(batch, query, key, items, offset,
                  {scale, softcap, left, right, mask, bias, alibi_slopes});
  const WantedRows wanted = wanted_rows(rows, query, key);
  const TensorView queries = batch.view(query), keys = batch.view(key),
                   results = batch.view(result);
  const auto compute =
      queries.type == ElementType::float64 ? attention_scores<double> : attention_scores<float>;
  without_gil([&] { compute(given.problem, queries, keys, results, wanted, team_of(threads)); });
}

void weights(const py::array& query, const py::array& key, const py::array& lse,
             const py::array& result, const py::object& rows, bool average_heads,
             const py::sequence& batch_shape, const py::object& items, std::ptrdiff_t offset,
             double scale, double softcap, std::ptrdiff_t left, std::ptrdiff_t right,
             const py::object& mask, const py::object& bias, const py::object& alibi_slopes,
             double dropout_p, std::uint64_t seed, int threads) {
  Batch batch(batch_shape);
  ProblemOf given(batch, query, key, items, offset,
                  {scale, softcap, left, right, mask, bias, alibi_slopes});
  given.problem.dropout_p = dropout_p;
  given.problem.seed = seed;
  const WantedRows wanted = wanted_rows(rows, query, key);
  const TensorView queries = batch.view(query), keys = batch.view(key),
                   sums = batch.view_of_rows(lse);
  const TensorView results = average_heads ? batch.view_without_heads(result) : batch.view(result);
  const auto compute =
      queries.type == ElementType::float64 ? attention_weights<double> : attention_weights<float>;
  without_gil([&] {
    compute(given.problem, queries, keys, sums, results, wanted, average_heads, team_of(threads));
  });
}

}  // namespace

void register_weights(py::module_& module) {
  module.def("attention_scores", &scores);
  module.def("attention_weights", &weights);
}

}  // namespace heedful
