// gru_forward, gru_backward, lstm_forward, lstm_backward
#include "bindings/arguments.hpp"
#include "bindings/bind_layers.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/layer_arrays.hpp"
#include "layers/recurrent/gru.hpp"
#include "layers/recurrent/lstm.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

Steps steps_of(const py::array& first, const py::array& counts, const py::array& begins,
               bool reverse) {
  return {first.shape(0), counts.shape(0), integers_of<std::int64_t>(counts),
          integers_of<std::int64_t>(begins), reverse};
}

template <class T>
Matrix<const T> read_only(const Matrix<T>& matrix) {
  return {matrix.data, matrix.stride};
}

// Of T, or of float as bits of bfloat16 or as int8 with the scales of its rows.
template <class T>
StateWeight<T> state_weight_of(const py::array& weight, const py::object& scale) {
  StateWeight<T> found;
  if (std::is_same_v<T, float> && weight.dtype().kind() == 'u') {
    found.bfloat16 = bfloat16_rows(weight);
  } else if (std::is_same_v<T, float> && !scale.is_none()) {
    const auto* const values = integers_of<std::int8_t>(weight);
    found.int8 = {reinterpret_cast<const simd::Int8*>(values), weight.strides(0)};
    found.scales = elements_or_none<const float>(scale);
  } else {
    found.rows = matrix_of<const T>(weight);
  }
  return found;
}

template <class T>
void gru_forward_typed(Arguments& arguments, const py::array& gates) {
  const py::array weight = arguments.array();
  const py::object scale = arguments.array_or_none();
  const py::object bias = arguments.array_or_none();
  const py::array counts = arguments.array(), begins = arguments.array();
  const bool reverse = arguments.flag();
  const py::array first = arguments.array(), update = arguments.array(), y = arguments.array();
  Gru<T> layer{};
  layer.steps = steps_of(first, counts, begins, reverse);
  layer.width = first.shape(1);
  layer.gate_rows = matrix_of<T>(gates);
  layer.update = matrix_of<T>(update);
  layer.y = matrix_of<T>(y);
  layer.states = {read_only(layer.y), matrix_of<const T>(first)};
  layer.bias = elements_or_none<T>(bias);
  const auto weights = state_weight_of<T>(weight, scale);
  with_team(cost_of_steps(layer), [&](const Team& team) { gru_forward<T>(layer, weights, team); });
}

template <class T>
void gru_backward_typed(Arguments& arguments, const py::array& gates) {
  const py::array weight = arguments.array();
  const py::array counts = arguments.array(), begins = arguments.array();
  const bool reverse = arguments.flag();
  const py::array first = arguments.array(), update = arguments.array(), y = arguments.array();
  const py::array dy = arguments.array(), dstate = arguments.array();
  Gru<T> layer{};
  layer.steps = steps_of(first, counts, begins, reverse);
  layer.width = first.shape(1);
  layer.gate_rows = matrix_of<T>(gates);
  layer.update = matrix_of<T>(update);
  layer.states = {matrix_of<const T>(y), matrix_of<const T>(first)};
  layer.dy = matrix_of<const T>(dy);
  layer.dstate = matrix_of<T>(dstate);
  const auto weights = matrix_of<const T>(weight);
  with_team(cost_of_steps(layer), [&](const Team& team) { gru_backward<T>(layer, weights, team); });
}

template <class T>
void lstm_forward_typed(Arguments& arguments, const py::array& gates) {
  const py::array weight = arguments.array();
  const py::object scale = arguments.array_or_none();
  const py::object bias = arguments.array_or_none();
  const py::array counts = arguments.array(), begins = arguments.array();
  const bool reverse = arguments.flag();
  const py::array first = arguments.array(), first_cell = arguments.array();
  const py::array cells = arguments.array(), y = arguments.array();
  Lstm<T> layer{};
  layer.steps = steps_of(first, counts, begins, reverse);
  layer.width = first.shape(1);
  layer.gate_rows = matrix_of<T>(gates);
  layer.cells_after = matrix_of<T>(cells);
  layer.y = matrix_of<T>(y);
  layer.states = {read_only(layer.y), matrix_of<const T>(first)};
  layer.cells = {read_only(layer.cells_after), matrix_of<const T>(first_cell)};
  layer.bias = elements_or_none<T>(bias);
  const auto weights = state_weight_of<T>(weight, scale);
  with_team(cost_of_steps(layer), [&](const Team& team) { lstm_forward<T>(layer, weights, team); });
}

template <class T>
void lstm_backward_typed(Arguments& arguments, const py::array& gates) {
  const py::array weight = arguments.array();
  const py::array counts = arguments.array(), begins = arguments.array();
  const bool reverse = arguments.flag();
  const py::array first_cell = arguments.array(), cells = arguments.array();
  const py::array dy = arguments.array(), dstate = arguments.array(), dcell = arguments.array();
  Lstm<T> layer{};
  layer.steps = steps_of(first_cell, counts, begins, reverse);
  layer.width = first_cell.shape(1);
  layer.gate_rows = matrix_of<T>(gates);
  layer.cells = {matrix_of<const T>(cells), matrix_of<const T>(first_cell)};
  layer.dy = matrix_of<const T>(dy);
  layer.dstate = matrix_of<T>(dstate);
  layer.dcell = matrix_of<T>(dcell);
  const auto weights = matrix_of<const T>(weight);
  with_team(cost_of_steps(layer),
            [&](const Team& team) { lstm_backward<T>(layer, weights, team); });
}

using Typed = void (*)(Arguments&, const py::array&);

template <Typed of_float, Typed of_double>
py::object typed(Arguments& arguments) {
  const py::array gates = arguments.array();
  (is_double(gates) ? of_double : of_float)(arguments, gates);
  return py::none();
}

}  // namespace

void register_recurrent(py::module_& module) {
  define<&typed<&gru_forward_typed<float>, &gru_forward_typed<double>>, 10>(module, "gru_forward");
  define<&typed<&gru_backward_typed<float>, &gru_backward_typed<double>>, 10>(module,
                                                                              "gru_backward");
  define<&typed<&lstm_forward_typed<float>, &lstm_forward_typed<double>>, 11>(module,
                                                                              "lstm_forward");
  define<&typed<&lstm_backward_typed<float>, &lstm_backward_typed<double>>, 10>(module,
                                                                                "lstm_backward");
}

}  // namespace heedful
