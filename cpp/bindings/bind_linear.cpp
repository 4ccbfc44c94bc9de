// linear_forward, linear_gradient_input, linear_gradient_weight, int8_forward, int8_split,
// int8_reads_split, bfloat16_forward
#include <algorithm>

#include "bindings/arguments.hpp"
#include "bindings/bind_layers.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/layer_arrays.hpp"
#include "linear/bfloat16_forward.hpp"
#include "linear/int8_forward.hpp"
#include "linear/linear_forward.hpp"
#include "linear/linear_gradients.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

template <class T>
void linear(const LinearSizes& sizes, const py::array& x, const py::array& weight,
            const py::object& bias, const py::object& residual, Activation activation,
            const py::object& before, const py::array& y) {
  const Epilogue<T> epilogue{elements_or_none<T>(bias), matrix_or_none<const T>(residual),
                             activation, matrix_or_none<T>(before), matrix_of<T>(y)};
  const auto inputs = matrix_of<const T>(x), weights = matrix_of<const T>(weight);
  with_team(cost_of(sizes),
            [&](const Team& team) { linear_forward<T>(sizes, inputs, weights, epilogue, team); });
}

py::object linear_forward_of(Arguments& arguments) {
  const py::array x = arguments.array(), weight = arguments.array();
  const py::object bias = arguments.array_or_none(), residual = arguments.array_or_none();
  const Activation activation = activation_of(arguments.any());
  const py::object before = arguments.array_or_none();
  const py::array y = arguments.array();
  const LinearSizes sizes{x.shape(0), x.shape(1), weight.shape(0)};
  const auto compute = is_double(y) ? linear<double> : linear<float>;
  compute(sizes, x, weight, bias, residual, activation, before, y);
  return py::none();
}

template <class T>
void gradient_input(const py::array& dy, const py::array& weight, const py::array& dx, bool add) {
  const LinearSizes sizes{dy.shape(0), weight.shape(1), weight.shape(0)};
  const auto dy_rows = matrix_of<const T>(dy), weights = matrix_of<const T>(weight);
  const auto result = matrix_of<T>(dx);
  with_team(cost_of(sizes), [&](const Team& team) {
    linear_gradient_input<T>(sizes, dy_rows, weights, result, add, team);
  });
}

py::object linear_gradient_input_of(Arguments& arguments) {
  const py::array dy = arguments.array(), weight = arguments.array(), dx = arguments.array();
  const bool add = arguments.flag();
  const auto compute = is_double(dx) ? gradient_input<double> : gradient_input<float>;
  compute(dy, weight, dx, add);
  return py::none();
}

template <class T>
void gradient_weight(const py::array& dy, const py::array& x, const py::array& dweight,
                     const py::object& dbias) {
  const LinearSizes sizes{x.shape(0), x.shape(1), dy.shape(1)};
  const auto dy_rows = matrix_of<const T>(dy), inputs = matrix_of<const T>(x);
  const auto result = matrix_of<T>(dweight);
  T* const sums = elements_or_none<T>(dbias);
  with_team(cost_of(sizes), [&](const Team& team) {
    linear_gradient_weight<T>(sizes, dy_rows, inputs, result, sums, team);
  });
}

py::object linear_gradient_weight_of(Arguments& arguments) {
  const py::array dy = arguments.array(), x = arguments.array(), dweight = arguments.array();
  const py::object dbias = arguments.array_or_none();
  const auto compute = is_double(dweight) ? gradient_weight<double> : gradient_weight<float>;
  compute(dy, x, dweight, dbias);
  return py::none();
}

Int8Split split_of(const py::object& split) {
  if (split.is_none()) return {};
  const auto arrays = py::reinterpret_borrow<py::tuple>(split);
  const auto main = py::reinterpret_borrow<py::array>(arrays[0]);
  const auto begins = py::reinterpret_borrow<py::array>(arrays[1]);
  const auto extra = py::reinterpret_borrow<py::array>(arrays[2]);
  return {{static_cast<const std::byte*>(main.data()), main.strides(0)},
          static_cast<const std::int64_t*>(begins.data()),
          static_cast<const ExtraWord*>(extra.data())};
}

py::object int8_split_of(Arguments& arguments) {
  const py::array weight = arguments.array();
  const Matrix<const std::int8_t> rows{integers_of<std::int8_t>(weight), weight.strides(0)};
  const std::ptrdiff_t outputs = weight.shape(0), inputs = weight.shape(1);
  if (!gains_by_split(rows, outputs, inputs)) return py::none();
  const std::ptrdiff_t row_bytes = split_row_bytes(inputs);
  py::array_t<std::int8_t> main({outputs, row_bytes});
  py::array_t<std::int64_t> begins(outputs + 1);
  const Matrix<std::byte> to{reinterpret_cast<std::byte*>(main.mutable_data()), row_bytes};
  const auto found = split_weight(rows, outputs, inputs, to, begins.mutable_data());
  py::array_t<std::uint32_t> extra({static_cast<std::ptrdiff_t>(found.size()), std::ptrdiff_t{2}});
  std::copy(found.begin(), found.end(), reinterpret_cast<ExtraWord*>(extra.mutable_data()));
  return py::make_tuple(main, begins, extra);
}

py::object int8_reads_split_of(Arguments& arguments) {
  return py::bool_(int8_reads_split(arguments.integer()));
}

py::object int8_forward_of(Arguments& arguments) {
  const py::array x = arguments.array(), weight = arguments.array(), scale = arguments.array();
  const py::array weight_sums = arguments.array();
  const py::object bias = arguments.array_or_none(), residual = arguments.array_or_none();
  const Activation activation = activation_of(arguments.any());
  const py::array y = arguments.array();
  const Int8Split split = split_of(arguments.tuple_or_none());
  const LinearSizes sizes{x.shape(0), x.shape(1), weight.shape(0)};
  const Int8Weight int8{{integers_of<std::int8_t>(weight), weight.strides(0)},
                        {elements_of<const float>(scale), integers_of<std::int32_t>(weight_sums)},
                        split};
  const Epilogue<float> epilogue{elements_or_none<float>(bias),
                                 matrix_or_none<const float>(residual),
                                 activation,
                                 {},
                                 matrix_of<float>(y)};
  const auto inputs = matrix_of<const float>(x);
  with_team(int8_cost(sizes),
            [&](const Team& team) { int8_forward(sizes, inputs, int8, epilogue, team); });
  return py::none();
}

py::object bfloat16_forward_of(Arguments& arguments) {
  const py::array x = arguments.array(), weight = arguments.array();
  const py::object bias = arguments.array_or_none(), residual = arguments.array_or_none();
  const Activation activation = activation_of(arguments.any());
  const py::array y = arguments.array();
  const LinearSizes sizes{x.shape(0), x.shape(1), weight.shape(0)};
  const Epilogue<float> epilogue{elements_or_none<float>(bias),
                                 matrix_or_none<const float>(residual),
                                 activation,
                                 {},
                                 matrix_of<float>(y)};
  const auto inputs = matrix_of<const float>(x);
  const auto weights = bfloat16_rows(weight);
  with_team(cost_of(sizes),
            [&](const Team& team) { bfloat16_forward(sizes, inputs, weights, epilogue, team); });
  return py::none();
}

}  // namespace

void register_linear(py::module_& module) {
  define<&linear_forward_of, 7>(module, "linear_forward");
  define<&linear_gradient_input_of, 4>(module, "linear_gradient_input");
  define<&linear_gradient_weight_of, 4>(module, "linear_gradient_weight");
  define<&int8_forward_of, 9>(module, "int8_forward");
  define<&int8_split_of, 1>(module, "int8_split");
  define<&int8_reads_split_of, 1>(module, "int8_reads_split");
  define<&bfloat16_forward_of, 6>(module, "bfloat16_forward");
}

}  // namespace heedful
