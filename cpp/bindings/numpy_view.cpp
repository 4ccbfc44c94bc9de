#include "bindings/numpy_view.hpp"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <string>

#include "attention/scores/score_vector.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

// Sums of a position, a window and a length stay far from overflow.
constexpr std::ptrdiff_t max_position = std::ptrdiff_t{1} << 60;

std::ptrdiff_t clamped(std::ptrdiff_t value) {
  return std::clamp(value, -max_position, max_position);
}

char* data_of(const py::array& array) {
  return const_cast<char*>(static_cast<const char*>(array.data()));
}

// Axes are counted from the end: the last one is 1.
std::ptrdiff_t length(const py::array& array, int axis) {
  return array.ndim() < axis ? 1 : array.shape()[array.ndim() - axis];
}

// The stride of an axis of length 1 is never used, and arbitrary in NumPy.
std::ptrdiff_t stride(const py::array& array, int axis) {
  return length(array, axis) == 1 ? 0 : array.strides()[array.ndim() - axis];
}

// A single column counts as contiguous.
std::ptrdiff_t column_stride(const py::array& array, ElementType type) {
  return length(array, 1) == 1 ? element_size(type) : stride(array, 1);
}

ElementType element_type_of(const py::array& array) {
  const py::dtype dtype = array.dtype();
  if (const auto type = readable_type(dtype)) return *type;
  throw py::type_error("arrays must be float16, bfloat16, float32, float64, int8 or bool: got " +
                       py::str(static_cast<py::object>(dtype)).cast<std::string>());
}

// An extension type, whose type number is not known at compile time: NumPy assigns it when the type
// is registered, and it does not change.
bool is_bfloat16(const py::dtype& dtype) {
  constexpr int first_of_extensions = 256, unknown = -1;
  static std::atomic<int> number{unknown};
  if (dtype.num() < first_of_extensions) return false;
  if (dtype.num() == number.load(std::memory_order_relaxed)) return true;
  if (dtype.attr("name").cast<std::string>() != "bfloat16") return false;
  number.store(dtype.num(), std::memory_order_relaxed);
  return true;
}

}  // namespace

std::optional<ElementType> readable_type(const py::dtype& dtype) {
  switch (dtype.num()) {
    case py::detail::npy_api::NPY_FLOAT_:
      return ElementType::float32;
    case py::detail::npy_api::NPY_DOUBLE_:
      return ElementType::float64;
    case py::detail::npy_api::NPY_BOOL_:
      return ElementType::boolean;
    case py::detail::npy_api::NPY_BYTE_:
      return ElementType::int8;
    case 23:  // NPY_HALF, for which pybind11 has no name
      return ElementType::float16;
    default:
      return is_bfloat16(dtype) ? std::optional(ElementType::bfloat16) : std::nullopt;
  }
}

Batch::Batch(const py::tuple& shape, bool length_first) : length_first_(length_first) {
  for (const py::handle length : shape) {
    if (axes_ == max_axes) throw py::value_error("too many leading axes");
    shape_[static_cast<std::size_t>(axes_)] = Arguments::integer_of(length);
    size_ *= shape_[static_cast<std::size_t>(axes_++)];
  }
}

std::ptrdiff_t* Batch::take(std::ptrdiff_t count) {
  if (count <= static_cast<std::ptrdiff_t>(inline_offsets_.size()) - used_) {
    used_ += count;
    return inline_offsets_.data() + used_ - count;
  }
  tables_.emplace_back(new std::ptrdiff_t[static_cast<std::size_t>(count)]);
  return tables_.back().get();
}

std::ptrdiff_t* Batch::offsets_of(const py::array& array, int own_axes) {
  std::ptrdiff_t* const offsets = take(size_);
  if (size_ == 0) return offsets;
  offsets[0] = 0;
  std::ptrdiff_t filled = 1;  // number of items along the axes so far
  for (int axis = 1; axis <= axes_; ++axis) {
    const std::ptrdiff_t count = shape_[static_cast<std::size_t>(axes_ - axis)];
    const std::ptrdiff_t step = stride(array, own_axes + axis);
    for (std::ptrdiff_t item = filled; item < count * filled; ++item) {
      offsets[item] = offsets[item - filled] + step;
    }
    filled *= count;
  }
  return offsets;
}

TensorView Batch::view(const py::array& array) {
  const ElementType type = element_type_of(array);
  const int head_axis = swapped(array) ? 2 : 3;
  return {data_of(array),
          type,
          offsets_of(array, 3),
          stride(array, head_axis),
          stride(array, 5 - head_axis),
          column_stride(array, type)};
}

TensorView Batch::view_of_pages(const py::array& array, const py::object& scales,
                                const py::array& table) {
  page_table_ = {static_cast<const std::int64_t*>(table.data()), length(table, 1), rows(array)};
  TensorView pages = view(array);
  pages.pages = &page_table_;
  pages.page_stride = stride(array, 4);
  if (!scales.is_none()) {
    const auto factors = py::reinterpret_borrow<py::array>(scales);
    TensorView& own = scales_[scales_used_++];
    own = view_of_rows(factors);
    own.pages = &page_table_;
    own.page_stride = stride(factors, 3);
    pages.scales = &own;
  }
  return pages;
}

std::ptrdiff_t Batch::heads(const py::array& array) const {
  return length(array, swapped(array) ? 2 : 3);
}

std::ptrdiff_t Batch::rows(const py::array& array) const {
  return length(array, swapped(array) ? 3 : 2);
}

TensorView Batch::view_of_scores(const py::array& array) {
  const ElementType type = element_type_of(array);
  return {data_of(array),       type,
          offsets_of(array, 3), stride(array, 3),
          stride(array, 2),     column_stride(array, type)};
}

TensorView Batch::view_of_rows(const py::array& array) {
  const ElementType type = element_type_of(array);
  return {data_of(array),    type, offsets_of(array, 2), stride(array, 2), stride(array, 1),
          element_size(type)};
}

TensorView Batch::view_of_integers(const py::object& object) {
  if (object.is_none()) return {};
  const auto array = py::reinterpret_borrow<py::array>(object);
  TensorView view;
  view.data = data_of(array);
  view.item_offsets = offsets_of(array, 3);
  view.head_stride = stride(array, 3);
  view.row_stride = stride(array, 2);
  return view;
}

TensorView Batch::view_without_heads(const py::array& array) {
  const ElementType type = element_type_of(array);
  return {
      data_of(array), type, offsets_of(array, 2), 0, stride(array, 2), column_stride(array, type)};
}

TensorView Batch::view_of_broadcast(const py::object& object) {
  if (object.is_none()) return {};
  const auto array = py::reinterpret_borrow<py::array>(object);
  TensorView view = view_of_scores(array);
  if (length(array, 1) == 1) view.column_stride = 0;
  return view;
}

BlockMask Batch::view_of_blocks(const py::tuple& fields) {
  const auto kinds = py::reinterpret_borrow<py::array>(fields[0]);
  const auto patterns = py::reinterpret_borrow<py::array>(fields[1]);
  BlockMask mask;
  mask.kinds = {data_of(kinds),   ElementType::boolean, offsets_of(kinds, 3),
                stride(kinds, 3), stride(kinds, 2),     sizeof(std::int32_t)};
  mask.patterns = static_cast<const unsigned char*>(patterns.data());
  mask.block_queries = Arguments::integer_of(fields[2]);
  mask.block_keys = Arguments::integer_of(fields[3]);
  return mask;
}

TensorView Batch::view_of_scores_or_none(const py::object& array) {
  return array.is_none() ? TensorView{} : view_of_scores(py::reinterpret_borrow<py::array>(array));
}

TensorView Batch::view_of_rows_or_none(const py::object& array) {
  return array.is_none() ? TensorView{} : view_of_rows(py::reinterpret_borrow<py::array>(array));
}

TensorView Batch::view_or_none(const py::object& array) {
  return array.is_none() ? TensorView{} : view(py::reinterpret_borrow<py::array>(array));
}

AttentionArguments::AttentionArguments(Arguments& arguments, const py::array& query,
                                       const py::array& key)
    : AttentionArguments(arguments.tuple(), arguments, query, key) {}

AttentionArguments::AttentionArguments(const py::tuple& geometry, Arguments& arguments,
                                       const py::array& query, const py::array& key)
    : batch(geometry[0], py::object(geometry[1]).is(py::bool_(true))) {
  const auto integer = [&](int index) {
    return clamped(Arguments::integer_of(geometry[static_cast<std::size_t>(index)]));
  };
  problem.num_items = batch.size();
  problem.num_heads = batch.heads(query);
  problem.num_kv_heads = batch.heads(key);
  problem.depth = length(query, 1);
  problem.left = integer(3);
  problem.right = integer(4);
  problem.exclude_self = py::object(geometry[5]).is(py::bool_(true));
  read_items(arguments.array_or_none(), {0, batch.rows(query), 0, batch.rows(key), integer(2)});
  problem.scale = arguments.number();
  problem.softcap = arguments.number();
  problem.mask = batch.view_of_broadcast(arguments.array_or_none());
  problem.bias = batch.view_of_broadcast(arguments.array_or_none());
  const py::object blocks = arguments.tuple_or_none();
  if (!blocks.is_none()) {
    const auto fields = py::reinterpret_borrow<py::tuple>(blocks);
    problem.block_mask = batch.view_of_blocks(fields);
    problem.min_weight = fields[4].cast<double>();
  }
  alibi_slopes_ = arguments.array_or_none();
  if (!alibi_slopes_.is_none()) {
    const auto slopes = py::reinterpret_borrow<py::array>(alibi_slopes_);
    problem.alibi_slopes = static_cast<const double*>(slopes.data());
    problem.alibi_item_stride = length(slopes, 2) == 1 ? 0 : length(slopes, 1);
  }
}

void AttentionArguments::read_items(const py::object& items, const Item& whole) {
  const std::ptrdiff_t count = batch.size();
  Item* to = inline_items_.data();
  if (count > static_cast<std::ptrdiff_t>(inline_items_.size())) {
    items_.reset(to = new Item[static_cast<std::size_t>(count)]);
  }
  problem.items = to;
  if (items.is_none()) {
    std::fill_n(to, count, whole);
    return;
  }
  const auto table = py::reinterpret_borrow<py::array_t<std::int64_t>>(items).unchecked<2>();
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    to[i] = {table(i, 0), table(i, 1), table(i, 2), table(i, 3), clamped(table(i, 4))};
  }
}

template <class T>
const void* AttentionArguments::within_range(const T* weight, std::ptrdiff_t rows,
                                             std::ptrdiff_t columns) {
  const double factor = score_vector_factor(weight, rows, columns);
  if (factor == 1) return weight;
  scaled_weight_.reset(new double[static_cast<std::size_t>(rows * columns)]);
  T* const copy = reinterpret_cast<T*>(scaled_weight_.get());
  for (std::ptrdiff_t i = 0; i < rows * columns; ++i) {
    copy[i] = static_cast<T>(factor * static_cast<double>(weight[i]));
  }
  return copy;
}

void AttentionArguments::set_additive_weight(const py::object& weight) {
  if (weight.is_none()) return;
  const auto array = py::reinterpret_borrow<py::array>(weight);
  problem.score_kind = ScoreKind::additive;
  const std::ptrdiff_t rows = length(array, 2), columns = length(array, 1);
  problem.score_vector = element_type_of(array) == ElementType::float64
                             ? within_range(static_cast<const double*>(array.data()), rows, columns)
                             : within_range(static_cast<const float*>(array.data()), rows, columns);
  problem.score_vector_stride = length(array, 2) == 1 ? 0 : length(array, 1);
}

}  // namespace heedful
