#include "bindings/numpy_view.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

namespace heedful {
namespace py = pybind11;
namespace {

// Sums of a position, a window and a length stay far from overflow.
constexpr std::ptrdiff_t far = std::ptrdiff_t{1} << 60;

std::ptrdiff_t clamped(std::ptrdiff_t value) { return std::clamp(value, -far, far); }

char* data_of(const py::array& array) {
  return const_cast<char*>(static_cast<const char*>(array.data()));
}

// Along axes of length 1 nothing is ever stepped, whatever NumPy keeps as their stride.
std::ptrdiff_t stride(const py::array& array, int axis) {
  return array.shape(axis) == 1 ? 0 : array.strides(axis);
}

// A single column counts as contiguous.
std::ptrdiff_t column_stride(const py::array& array) {
  const py::ssize_t last = array.ndim() - 1;
  return array.shape(last) == 1 ? array.itemsize() : array.strides(last);
}

}  // namespace

ElementType element_type_of(const py::array& array) {
  const py::dtype dtype = array.dtype();
  switch (dtype.num()) {
    case py::detail::npy_api::NPY_FLOAT_:
      return ElementType::float32;
    case py::detail::npy_api::NPY_DOUBLE_:
      return ElementType::float64;
    case py::detail::npy_api::NPY_BOOL_:
      return ElementType::boolean;
    case 23:  // NPY_HALF, which pybind11 has no name for
      return ElementType::float16;
    default:
      break;
  }
  // an extension type without a number of its own that could be known here
  if (dtype.attr("name").cast<std::string>() == "bfloat16") return ElementType::bfloat16;
  throw py::type_error("arrays must be float16, bfloat16, float32, float64 or bool: got " +
                       py::str(static_cast<py::object>(dtype)).cast<std::string>());
}

Batch::Batch(const py::sequence& shape) {
  for (const auto& length : shape) {
    shape_.push_back(length.cast<std::ptrdiff_t>());
    size_ *= shape_.back();
  }
  offsets_.reserve(16);
}

std::ptrdiff_t* Batch::offsets_of(const py::array& array, int own_axes) {
  offsets_.emplace_back(static_cast<std::size_t>(size_), 0);
  std::vector<std::ptrdiff_t>& offsets = offsets_.back();
  std::ptrdiff_t repeats = 1;  // items between two steps of the axis
  for (int axis = static_cast<int>(shape_.size()) - 1; axis >= 0; --axis) {
    const std::ptrdiff_t length = shape_[static_cast<std::size_t>(axis)];
    const int own =
        static_cast<int>(array.ndim()) - own_axes - static_cast<int>(shape_.size()) + axis;
    if (own >= 0 && length > 1) {
      for (std::ptrdiff_t item = 0; item < size_; ++item) {
        offsets[static_cast<std::size_t>(item)] += item / repeats % length * stride(array, own);
      }
    }
    repeats *= length;
  }
  return offsets.data();
}

TensorView Batch::view(const py::array& array) {
  const int last = static_cast<int>(array.ndim()) - 1;
  return {data_of(array),          element_type_of(array),  offsets_of(array, 3),
          stride(array, last - 2), stride(array, last - 1), column_stride(array)};
}

TensorView Batch::view_of_rows(const py::array& array) {
  const int last = static_cast<int>(array.ndim()) - 1;
  return {data_of(array),          element_type_of(array), offsets_of(array, 2),
          stride(array, last - 1), stride(array, last),    array.itemsize()};
}

TensorView Batch::view_without_heads(const py::array& array) {
  const int last = static_cast<int>(array.ndim()) - 1;
  return {data_of(array),          element_type_of(array), offsets_of(array, 2), 0,
          stride(array, last - 1), column_stride(array)};
}

TensorView Batch::view_of_broadcast(const py::object& object) {
  if (object.is_none()) return {};
  const auto array = py::reinterpret_borrow<py::array>(object);
  TensorView view = this->view(array);
  if (array.shape(array.ndim() - 1) == 1) view.column_stride = 0;
  return view;
}

TensorView Batch::view_or_none(const py::object& array) {
  return array.is_none() ? TensorView{} : view(py::reinterpret_borrow<py::array>(array));
}
TensorView Batch::view_of_rows_or_none(const py::object& array) {
  return array.is_none() ? TensorView{} : view_of_rows(py::reinterpret_borrow<py::array>(array));
}

ProblemOf::ProblemOf(Batch& batch, const py::array& query, const py::array& key,
                     const py::object& items, std::ptrdiff_t offset, const Rules& rules) {
  const auto length = [](const py::array& array, int from_end) {
    return array.shape(array.ndim() - from_end);
  };
  problem.num_items = batch.size();
  problem.num_heads = length(query, 3);
  problem.num_kv_heads = length(key, 3);
  problem.depth = length(query, 1);
  items_.reserve(static_cast<std::size_t>(batch.size()));
  if (items.is_none()) {
    items_.assign(static_cast<std::size_t>(batch.size()),
                  Item{0, length(query, 2), 0, length(key, 2), clamped(offset)});
  } else {
    const auto table = py::array_t<std::int64_t>(items).unchecked<2>();
    for (py::ssize_t i = 0; i < table.shape(0); ++i) {
      items_.push_back({table(i, 0), table(i, 1), table(i, 2), table(i, 3), clamped(table(i, 4))});
    }
  }
  problem.items = items_.data();
  problem.scale = rules.scale;
  problem.softcap = rules.softcap;
  problem.left = clamped(rules.left);
  problem.right = clamped(rules.right);
  problem.mask = batch.view_of_broadcast(rules.mask);
  problem.bias = batch.view_of_broadcast(rules.bias);
  if (!rules.alibi_slopes.is_none()) {
    const auto slopes = py::reinterpret_borrow<py::array>(rules.alibi_slopes);
    problem.alibi_slopes = static_cast<const double*>(slopes.data());
    problem.alibi_item_stride = slopes.shape(0) == 1 ? 0 : slopes.shape(1);
  }
}

}  // namespace heedful
