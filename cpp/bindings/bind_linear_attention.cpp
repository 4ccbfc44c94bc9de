// linear_attention_forward, linear_attention_backward
#include "bindings/arguments.hpp"
#include "bindings/bind_layers.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/layer_arrays.hpp"
#include "bindings/numpy_view.hpp"
#include "layers/linear_attention.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

// What both functions begin with: query, key, value, kept, batch, causal.
struct Call {
  py::array query, key, value;
  py::object kept;
  Batch batch;
  LinearAttention problem;

  explicit Call(Arguments& arguments)
      : query(arguments.array()),
        key(arguments.array()),
        value(arguments.array()),
        kept(arguments.array_or_none()),
        batch(arguments.tuple(), true),
        problem{batch.size(),
                batch.heads(query),
                batch.heads(key),
                batch.rows(query),
                batch.rows(key),
                query.shape(query.ndim() - 1),
                value.shape(value.ndim() - 1),
                arguments.flag(),
                batch.view(query),
                batch.view(key),
                batch.view(value),
                kept.is_none()
                    ? TensorView{}
                    : batch.view_without_heads(py::reinterpret_borrow<py::array>(kept))} {}
};

template <class T>
KeySums<T> sums_of(const py::object& values, const py::object& features) {
  return {elements_or_none<T>(values), elements_or_none<T>(features)};
}

template <class T>
void compute_forward(Call& call, const py::array& out, const py::array& norm,
                     const py::object (&sums)[4]) {
  const TensorView out_view = call.batch.view(out), norm_view = call.batch.view_of_rows(norm);
  const auto before = sums_of<const T>(sums[0], sums[1]);
  const auto added = sums_of<T>(sums[2], sums[3]);
  with_team(cost_of(call.problem), [&](const Team& team) {
    linear_attention_forward<T>(call.problem, before, out_view, norm_view, added, team);
  });
}

py::object forward(Arguments& arguments) {
  Call call(arguments);
  const py::array out = arguments.array(), norm = arguments.array();
  const py::object before_values = arguments.array_or_none();
  const py::object before_features = arguments.array_or_none();
  const py::object added_values = arguments.array_or_none();
  const py::object added_features = arguments.array_or_none();
  const auto compute = is_double(call.query) ? compute_forward<double> : compute_forward<float>;
  compute(call, out, norm, {before_values, before_features, added_values, added_features});
  return py::none();
}

py::object backward(Arguments& arguments) {
  Call call(arguments);
  const py::array dout = arguments.array(), out = arguments.array(), norm = arguments.array();
  const py::array dquery = arguments.array(), dkey = arguments.array(), dvalue = arguments.array();
  const auto compute =
      is_double(call.query) ? linear_attention_backward<double> : linear_attention_backward<float>;
  const TensorView views[] = {call.batch.view(dout),         call.batch.view(out),
                              call.batch.view_of_rows(norm), call.batch.view(dquery),
                              call.batch.view(dkey),         call.batch.view(dvalue)};
  with_team(cost_of(call.problem), [&](const Team& team) {
    compute(call.problem, views[0], views[1], views[2], views[3], views[4], views[5], team);
  });
  return py::none();
}

}  // namespace

void register_linear_attention(py::module_& module) {
  define<&forward, 12>(module, "linear_attention_forward");
  define<&backward, 12>(module, "linear_attention_backward");
}

}  // namespace heedful
