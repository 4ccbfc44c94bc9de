// cross_entropy, embedding_gradient, adam_step
#include "bindings/arguments.hpp"
#include "bindings/bind_layers.hpp"
#include "bindings/interrupted.hpp"
#include "bindings/layer_arrays.hpp"
#include "layers/adam.hpp"
#include "layers/cross_entropy.hpp"
#include "layers/embedding.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

const std::int64_t* integers_of(const py::array& array) {
  if (array.dtype().kind() != 'i' || array.itemsize() != 8) {
    throw py::type_error("labels and ids must be int64");
  }
  return static_cast<const std::int64_t*>(array.data());
}

template <class T>
void entropy(const py::array& logits, const py::array& labels, std::int64_t ignored,
             double smoothing, double factor, const py::array& losses, const py::object& dlogits) {
  const CrossEntropy<T> problem{logits.shape(0), logits.shape(1),           integers_of(labels),
                                ignored,         static_cast<T>(smoothing), static_cast<T>(factor)};
  const auto rows = matrix_of<const T>(logits);
  const auto gradients = matrix_or_none<T>(dlogits);
  T* const to = elements_of<T>(losses);
  with_team(cost_of(problem),
            [&](const Team& team) { cross_entropy<T>(problem, rows, to, gradients, team); });
}

py::object cross_entropy_of(Arguments& arguments) {
  const py::array logits = arguments.array(), labels = arguments.array();
  const std::int64_t ignored = arguments.integer();
  const double smoothing = arguments.number(), factor = arguments.number();
  const py::array losses = arguments.array();
  const py::object dlogits = arguments.array_or_none();
  const auto compute = is_double(logits) ? entropy<double> : entropy<float>;
  compute(logits, labels, ignored, smoothing, factor, losses, dlogits);
  return py::none();
}

template <class T>
void gradient_of_table(const py::array& dy, const py::array& ids, std::int64_t ignored,
                       const py::array& dtable) {
  const auto from = matrix_of<const T>(dy);
  const auto to = matrix_of<T>(dtable);
  const std::int64_t* const id_data = integers_of(ids);
  const std::ptrdiff_t rows = dy.shape(0), columns = dy.shape(1);
  with_team(cost_of(dy), [&](const Team& team) {
    embedding_gradient<T>(rows, columns, from, id_data, ignored, to, team);
  });
}

py::object embedding_gradient_of(Arguments& arguments) {
  const py::array dy = arguments.array(), ids = arguments.array();
  const std::int64_t ignored = arguments.integer();
  const py::array dtable = arguments.array();
  const auto compute = is_double(dtable) ? gradient_of_table<double> : gradient_of_table<float>;
  compute(dy, ids, ignored, dtable);
  return py::none();
}

template <class T>
void adam(const AdamStep& options, const py::array& parameter, const py::array& gradient,
          const py::array& first, const py::array& second) {
  T* const parameters = elements_of<T>(parameter);
  const T* const gradients = elements_of<const T>(gradient);
  T *const means = elements_of<T>(first), *const squares = elements_of<T>(second);
  const std::ptrdiff_t count = parameter.size();
  with_team(cost_of(parameter), [&](const Team& team) {
    adam_step<T>(options, count, parameters, gradients, means, squares, team);
  });
}

py::object adam_step_of(Arguments& arguments) {
  const py::array parameter = arguments.array(), gradient = arguments.array();
  const py::array first = arguments.array(), second = arguments.array();
  AdamStep options;
  for (double* const option : {&options.step, &options.root, &options.beta1, &options.beta2,
                               &options.epsilon, &options.coupled_decay, &options.keep}) {
    *option = arguments.number();
  }
  const auto compute = is_double(parameter) ? adam<double> : adam<float>;
  compute(options, parameter, gradient, first, second);
  return py::none();
}

}  // namespace

void register_training(py::module_& module) {
  define<&cross_entropy_of, 7>(module, "cross_entropy");
  define<&embedding_gradient_of, 4>(module, "embedding_gradient");
  define<&adam_step_of, 11>(module, "adam_step");
}

}  // namespace heedful
