// attention_backward, additive_backward, top_k_backward, entmax_backward, penalised_backward and
// additive_penalised_backward
#include <atomic>

#include "attention/backward/backward.hpp"
#include "attention/backward/top_k/backward.hpp"
#include "bindings/arguments.hpp"
#include "bindings/bind_attention.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/numpy_view.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

// Whether several items or heads add to the same element of dbias. Sums over queries or keys alone
// have a row or a column for every item and head, so they are not shared.
bool is_shared(const py::object& dbias, const Problem& problem) {
  if (dbias.is_none()) return false;
  const auto array = py::reinterpret_borrow<py::array>(dbias);
  const std::ptrdiff_t own = array.shape(array.ndim() - 2) * array.shape(array.ndim() - 1);
  return own > 0 && array.size() / own < problem.num_items * problem.num_heads;
}

// Of penalties: their arrays, or None.
struct PenaltyArrays {
  py::object coefficients = py::none(), target = py::none();
};

// kept: those of top_k_forward, or None where queries attend to all keys that they see. alphas: of
// entmax, null: softmax.
py::object compute(Arguments& arguments, const py::object& weight, double* dweight,
                   const py::object& kept = py::none(), const double* alphas = nullptr,
                   const PenaltyArrays& penalty = {}) {
  const py::array dout = arguments.array();
  const py::array query = arguments.array(), key = arguments.array(), value = arguments.array();
  const py::array out = arguments.array(), lse = arguments.array();
  const py::object row_term = arguments.array_or_none(), dweights = arguments.array_or_none();
  const py::array delta = arguments.array();
  const py::array dquery = arguments.array(), dkey = arguments.array(), dvalue = arguments.array();
  const py::object dbias = arguments.array_or_none();
  AttentionArguments attention(arguments, query, key);
  Problem& problem = attention.problem;
  problem.value_depth = value.shape(value.ndim() - 1);
  attention.set_additive_weight(weight);
  problem.dropout_p = arguments.number();
  problem.seed = arguments.seed();
  problem.key_dropout_p = arguments.number();
  problem.gumbel_temperature = arguments.number();
  problem.alphas = alphas;
  if (alphas) problem.bfloat16.products = simd::Bfloat16Way::widened;  // as in forward
  Batch& batch = attention.batch;
  std::atomic<bool> overflowed{false};
  const BackwardTensors tensors{
      batch.view(dout),
      batch.view(query),
      batch.view(key),
      batch.view(value),
      batch.view(out),
      alphas ? batch.view_of_scores(lse) : batch.view_of_rows(lse),
      batch.view_of_rows_or_none(row_term),
      batch.view_of_scores_or_none(dweights),
      batch.view_of_rows(delta),
      batch.view(dquery),
      batch.view(dkey),
      batch.view(dvalue),
      batch.view_of_broadcast(dbias),
      is_shared(dbias, problem),
      {batch.view_of_scores_or_none(penalty.coefficients), batch.view_of_broadcast(penalty.target)},
      dweight,
      &overflowed};
  if (!kept.is_none()) {
    const auto array = py::reinterpret_borrow<py::array>(kept);
    problem.top_k = array.shape(array.ndim() - 1);
    const TensorView keys = batch.view_of_integers(kept);
    const auto run =
        tensors.query.type == ElementType::float64 ? top_k_backward<double> : top_k_backward<float>;
    with_team(cost_of(problem), [&](const Team& team) { run(problem, tensors, keys, team); });
    return py::bool_(overflowed.load());
  }
  const auto run = tensors.query.type == ElementType::float64 ? attention_backward<double>
                                                              : attention_backward<float>;
  with_team(cost_of(attention.problem), [&](const Team& team) { run(problem, tensors, team); });
  return py::bool_(overflowed.load());
}

py::object attention_backward_of(Arguments& arguments) {
  return compute(arguments, py::none(), nullptr);
}

py::object additive_backward_of(Arguments& arguments) {
  const py::array weight = arguments.array(), dweight = arguments.array();
  return compute(arguments, weight, static_cast<double*>(const_cast<void*>(dweight.data())));
}

py::object top_k_backward_of(Arguments& arguments) {
  const py::array kept = arguments.array();
  return compute(arguments, py::none(), nullptr, kept);
}

py::object entmax_backward_of(Arguments& arguments) {
  const py::array alphas = arguments.array();
  return compute(arguments, py::none(), nullptr, py::none(),
                 static_cast<const double*>(alphas.data()));
}

py::object penalised_backward_of(Arguments& arguments) {
  const py::array coefficients = arguments.array();
  const py::object target = arguments.array_or_none();
  return compute(arguments, py::none(), nullptr, py::none(), nullptr, {coefficients, target});
}

py::object additive_penalised_backward_of(Arguments& arguments) {
  const py::array weight = arguments.array(), dweight = arguments.array();
  const py::object coefficients = arguments.array();
  const py::object target = arguments.array_or_none();
  return compute(arguments, weight, static_cast<double*>(const_cast<void*>(dweight.data())),
                 py::none(), nullptr, {coefficients, target});
}

}  // namespace

void register_backward(py::module_& module) {
  define<&attention_backward_of, 25>(module, "attention_backward");
  define<&additive_backward_of, 27>(module, "additive_backward");
  define<&top_k_backward_of, 26>(module, "top_k_backward");
  define<&entmax_backward_of, 26>(module, "entmax_backward");
  define<&penalised_backward_of, 27>(module, "penalised_backward");
  define<&additive_penalised_backward_of, 29>(module, "additive_penalised_backward");
}

}  // namespace heedful
