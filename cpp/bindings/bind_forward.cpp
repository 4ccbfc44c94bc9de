// attention_forward, additive_forward, top_k_forward, entmax_forward, paged_forward, panel_rows,
// attention_with_weights, additive_with_weights
#include "attention/forward/entmax/forward.hpp"
#include "attention/forward/forward.hpp"
#include "attention/forward/probabilities/with_probabilities.hpp"
#include "attention/forward/top_k/forward.hpp"
#include "attention/problem/panel.hpp"
#include "bindings/arguments.hpp"
#include "bindings/bind_attention.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/numpy_view.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

// Where keys and values lie on pages: the table of these, and the scales of int8 or None.
struct Pages {
  py::array table;
  py::object key_scales, value_scales;
};

// α of each head, and the results of entmax that gradients need, or None.
struct Sparse {
  py::array alphas;
  py::object mean, alpha_derivative;
};

// The weights as a result, (*batch, H, Lq, Lk), or (*batch, Lq, Lk) averaged over the heads.
struct Weights {
  py::array array;
  bool average_heads;
};

// top_k: how many keys a query attends to, which are written to `kept`; 0: all that it sees.
py::object compute(Arguments& arguments, const py::object& weight, std::ptrdiff_t top_k = 0,
                   const py::object& kept = py::none(), const Pages* pages = nullptr,
                   const Sparse* sparse = nullptr, const Weights* weights = nullptr) {
  const py::array query = arguments.array(), key = arguments.array(), value = arguments.array();
  const py::array out = arguments.array();
  const py::object lse = arguments.array_or_none();
  AttentionArguments attention(arguments, query, key);
  Problem& problem = attention.problem;
  problem.value_depth = value.shape(value.ndim() - 1);
  attention.set_additive_weight(weight);
  const py::object sink = arguments.array_or_none();
  if (!sink.is_none()) {
    problem.sink = static_cast<const double*>(py::reinterpret_borrow<py::array>(sink).data());
  }
  problem.dropout_p = arguments.number();
  problem.seed = arguments.seed();
  problem.key_dropout_p = arguments.number();
  problem.gumbel_temperature = arguments.number();
  Batch& batch = attention.batch;
  const TensorView queries = batch.view(query);
  const TensorView keys =
      pages ? batch.view_of_pages(key, pages->key_scales, pages->table) : batch.view(key);
  const TensorView values =
      pages ? batch.view_of_pages(value, pages->value_scales, pages->table) : batch.view(value);
  const TensorView outs = batch.view(out);
  const TensorView sums =
      sparse ? batch.view_of_scores_or_none(lse) : batch.view_of_rows_or_none(lse);
  if (sparse) {
    problem.alphas = static_cast<const double*>(sparse->alphas.data());
    const EntmaxTensors tensors{queries,
                                keys,
                                values,
                                outs,
                                sums,
                                batch.view_or_none(sparse->mean),
                                batch.view_or_none(sparse->alpha_derivative)};
    const auto run =
        queries.type == ElementType::float64 ? entmax_forward<double> : entmax_forward<float>;
    with_team(cost_of(problem), [&](const Team& team) { run(problem, tensors, team); });
    return py::none();
  }
  if (top_k > 0) {
    problem.top_k = top_k;
    const TensorView kept_keys = batch.view_of_integers(kept);
    const auto run =
        queries.type == ElementType::float64 ? top_k_forward<double> : top_k_forward<float>;
    with_team(cost_of(problem), [&](const Team& team) {
      run(problem, queries, keys, values, outs, sums, kept_keys, team);
    });
    return py::none();
  }
  if (weights) {
    const TensorView probabilities = weights->average_heads
                                         ? batch.view_without_heads(weights->array)
                                         : batch.view_of_scores(weights->array);
    const SelectedRows all{nullptr, batch.rows(query), batch.rows(key)};
    const auto run = queries.type == ElementType::float64 ? attention_with_probabilities<double>
                                                          : attention_with_probabilities<float>;
    with_team(cost_of(problem), [&](const Team& team) {
      run(problem, queries, keys, values, outs, sums, probabilities, all, weights->average_heads,
          team);
    });
    return py::none();
  }
  const auto run =
      queries.type == ElementType::float64 ? attention_forward<double> : attention_forward<float>;
  with_team(cost_of(attention.problem),
            [&](const Team& team) { run(problem, queries, keys, values, outs, sums, team); });
  return py::none();
}

py::object attention_forward_of(Arguments& arguments) { return compute(arguments, py::none()); }

py::object additive_forward_of(Arguments& arguments) {
  const py::array weight = arguments.array();
  return compute(arguments, weight);
}

py::object attention_with_weights_of(Arguments& arguments) {
  const Weights weights{arguments.array(), arguments.flag()};
  return compute(arguments, py::none(), 0, py::none(), nullptr, nullptr, &weights);
}

py::object additive_with_weights_of(Arguments& arguments) {
  const py::array weight = arguments.array();
  const Weights weights{arguments.array(), arguments.flag()};
  return compute(arguments, weight, 0, py::none(), nullptr, nullptr, &weights);
}

py::object panel_rows(Arguments& arguments) {
  const bool is_float = arguments.integer() == sizeof(float);
  return py::int_(is_float ? Panel<float>::max_lanes : Panel<double>::max_lanes);
}

py::object top_k_forward_of(Arguments& arguments) {
  const std::ptrdiff_t top_k = arguments.integer();
  const py::object kept = arguments.array_or_none();
  return compute(arguments, py::none(), top_k, kept);
}

py::object entmax_forward_of(Arguments& arguments) {
  Sparse sparse{arguments.array(), {}, {}};
  sparse.mean = arguments.array_or_none();
  sparse.alpha_derivative = arguments.array_or_none();
  return compute(arguments, py::none(), 0, py::none(), nullptr, &sparse);
}

py::object paged_forward_of(Arguments& arguments) {
  Pages pages{arguments.array(), {}, {}};
  pages.key_scales = arguments.array_or_none();
  pages.value_scales = arguments.array_or_none();
  return compute(arguments, py::none(), 0, py::none(), &pages);
}

}  // namespace

void register_forward(py::module_& module) {
  define<&attention_forward_of, 18>(module, "attention_forward");
  define<&panel_rows, 1>(module, "panel_rows");
  define<&attention_with_weights_of, 20>(module, "attention_with_weights");
  define<&additive_with_weights_of, 21>(module, "additive_with_weights");
  define<&additive_forward_of, 19>(module, "additive_forward");
  define<&top_k_forward_of, 20>(module, "top_k_forward");
  define<&entmax_forward_of, 21>(module, "entmax_forward");
  define<&paged_forward_of, 21>(module, "paged_forward");
}

}  // namespace heedful
