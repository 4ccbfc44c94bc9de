// attention_backward
#include "attention/backward.hpp"
#include "bindings/bind_attention.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/numpy_view.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

// Whether several items or heads add to one number of dbias. Sums over queries or keys alone have a
// row or a column for every item and head, so nobody shares them.
bool is_shared(const py::object& dbias, const Problem& problem) {
  if (dbias.is_none()) return false;
  const auto array = py::reinterpret_borrow<py::array>(dbias);
  const std::ptrdiff_t own = array.shape(array.ndim() - 2) * array.shape(array.ndim() - 1);
  return own > 0 && array.size() / own < problem.num_items * problem.num_heads;
}

void backward(const py::array& dout, const py::array& query, const py::array& key,
              const py::array& value, const py::array& out, const py::array& lse,
              const py::object& row_term, const py::object& dweights, const py::array& delta,
              const py::array& dquery, const py::array& dkey, const py::array& dvalue,
              const py::object& dbias, const py::sequence& batch_shape, const py::object& items,
              std::ptrdiff_t offset, double scale, double softcap, std::ptrdiff_t left,
              std::ptrdiff_t right, const py::object& mask, const py::object& bias,
              const py::object& alibi_slopes, double dropout_p, std::uint64_t seed, int threads) {
  Batch batch(batch_shape);
  ProblemOf given(batch, query, key, items, offset,
                  {scale, softcap, left, right, mask, bias, alibi_slopes});
  Problem& problem = given.problem;
  problem.value_depth = value.shape(value.ndim() - 1);
  problem.dropout_p = dropout_p;
  problem.seed = seed;
  const BackwardTensors tensors{batch.view(dout),
                                batch.view(query),
                                batch.view(key),
                                batch.view(value),
                                batch.view(out),
                                batch.view_of_rows(lse),
                                batch.view_of_rows_or_none(row_term),
                                batch.view_or_none(dweights),
                                batch.view_of_rows(delta),
                                batch.view(dquery),
                                batch.view(dkey),
                                batch.view(dvalue),
                                batch.view_of_broadcast(dbias),
                                is_shared(dbias, problem)};
  const auto compute = tensors.query.type == ElementType::float64 ? attention_backward<double>
                                                                  : attention_backward<float>;
  without_gil([&] { compute(problem, tensors, team_of(threads)); });
}

}  // namespace

void register_backward(py::module_& module) { module.def("attention_backward", &backward); }

}  // namespace heedful
