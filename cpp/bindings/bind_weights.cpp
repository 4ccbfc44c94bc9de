// attention_scores, attention_weights, additive_weights, top_k_weights, entmax_weights,
// row_statistics and additive_row_statistics
#include "attention/backward/penalty/row_statistics.hpp"
#include "attention/forward/probabilities/probabilities.hpp"
#include "attention/forward/top_k/probabilities.hpp"
#include "bindings/arguments.hpp"
#include "bindings/bind_attention.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/numpy_view.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

SelectedRows wanted_rows(const py::object& rows, const Batch& batch, const py::array& query,
                         const py::array& key) {
  SelectedRows wanted;
  wanted.count = batch.rows(query);
  wanted.key_rows = batch.rows(key);
  if (!rows.is_none()) {
    const auto array = py::reinterpret_borrow<py::array>(rows);
    wanted.rows = static_cast<const std::int64_t*>(array.data());
    wanted.count = array.size();
  }
  return wanted;
}

py::object scores(Arguments& arguments) {
  const py::array query = arguments.array(), key = arguments.array(), result = arguments.array();
  const py::object rows = arguments.array_or_none();
  AttentionArguments attention(arguments, query, key);
  Batch& batch = attention.batch;
  const SelectedRows wanted = wanted_rows(rows, batch, query, key);
  const TensorView queries = batch.view(query), keys = batch.view(key),
                   results = batch.view_of_scores(result);
  const auto compute =
      queries.type == ElementType::float64 ? attention_scores<double> : attention_scores<float>;
  with_team(cost_of(attention.problem), [&](const Team& team) {
    compute(attention.problem, queries, keys, results, wanted, team);
  });
  return py::none();
}

// top_k: how many keys a query attends to, 0: all that it sees. alphas: of entmax, null: softmax.
py::object weights_with(Arguments& arguments, const py::object& weight, std::ptrdiff_t top_k = 0,
                        const double* alphas = nullptr) {
  const py::array query = arguments.array(), key = arguments.array(), lse = arguments.array();
  const py::array result = arguments.array();
  const py::object rows = arguments.array_or_none();
  const bool average_heads = arguments.flag();
  AttentionArguments attention(arguments, query, key);
  attention.set_additive_weight(weight);
  attention.problem.dropout_p = arguments.number();
  attention.problem.seed = arguments.seed();
  attention.problem.key_dropout_p = arguments.number();
  attention.problem.gumbel_temperature = arguments.number();
  Batch& batch = attention.batch;
  const SelectedRows wanted = wanted_rows(rows, batch, query, key);
  const TensorView queries = batch.view(query), keys = batch.view(key),
                   sums = alphas ? batch.view_of_scores(lse) : batch.view_of_rows(lse);
  const TensorView results =
      average_heads ? batch.view_without_heads(result) : batch.view_of_scores(result);
  attention.problem.top_k = top_k;
  attention.problem.alphas = alphas;
  if (alphas) attention.problem.bfloat16.products = simd::Bfloat16Way::widened;  // as in forward
  const bool wide = queries.type == ElementType::float64;
  const auto all_keys = wide ? attention_probabilities<double> : attention_probabilities<float>;
  const auto some_keys = wide ? top_k_probabilities<double> : top_k_probabilities<float>;
  const auto compute = top_k > 0 ? some_keys : all_keys;
  with_team(cost_of(attention.problem), [&](const Team& team) {
    compute(attention.problem, queries, keys, sums, results, wanted, average_heads, team);
  });
  return py::none();
}

py::object weights(Arguments& arguments) { return weights_with(arguments, py::none()); }

py::object additive_weights(Arguments& arguments) {
  const py::array weight = arguments.array();
  return weights_with(arguments, weight);
}

py::object top_k_weights(Arguments& arguments) {
  const std::ptrdiff_t top_k = arguments.integer();
  return weights_with(arguments, py::none(), top_k);
}

py::object entmax_weights(Arguments& arguments) {
  const py::array alphas = arguments.array();
  return weights_with(arguments, py::none(), 0, static_cast<const double*>(alphas.data()));
}

py::object statistics_with(Arguments& arguments, const py::object& weight) {
  const py::array query = arguments.array(), key = arguments.array(), lse = arguments.array();
  const py::array result = arguments.array();
  const bool probabilities = arguments.flag(), scores = arguments.flag();
  const py::object target = arguments.array_or_none();
  AttentionArguments attention(arguments, query, key);
  attention.set_additive_weight(weight);
  attention.problem.dropout_p = arguments.number();
  attention.problem.seed = arguments.seed();
  attention.problem.key_dropout_p = arguments.number();
  attention.problem.gumbel_temperature = arguments.number();
  Batch& batch = attention.batch;
  const TensorView queries = batch.view(query), keys = batch.view(key),
                   sums = batch.view_of_rows(lse), results = batch.view_of_scores(result);
  const StatisticsWanted wanted{probabilities, scores, batch.view_of_broadcast(target)};
  const auto compute =
      queries.type == ElementType::float64 ? row_statistics<double> : row_statistics<float>;
  with_team(cost_of(attention.problem), [&](const Team& team) {
    compute(attention.problem, queries, keys, sums, results, wanted, team);
  });
  return py::none();
}

py::object statistics(Arguments& arguments) { return statistics_with(arguments, py::none()); }

py::object additive_statistics(Arguments& arguments) {
  const py::array weight = arguments.array();
  return statistics_with(arguments, weight);
}

}  // namespace

void register_weights(py::module_& module) {
  define<&scores, 12>(module, "attention_scores");
  define<&weights, 18>(module, "attention_weights");
  define<&additive_weights, 19>(module, "additive_weights");
  define<&top_k_weights, 19>(module, "top_k_weights");
  define<&entmax_weights, 19>(module, "entmax_weights");
  define<&statistics, 19>(module, "row_statistics");
  define<&additive_statistics, 20>(module, "additive_row_statistics");
}

}  // namespace heedful
