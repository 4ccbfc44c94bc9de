// fill_items: the table of items of a ragged batch.
#include <cstdint>

#include "bindings/arguments.hpp"
#include "bindings/bind_attention.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

// Lengths in the caller's memory, each read once: another thread may change them meanwhile.
class Lengths {
 public:
  // One for each of `count` items that form `axes` axes, or None, which means `limit` each.
  Lengths(py::handle lengths, Py_ssize_t count, Py_ssize_t axes, std::int64_t limit)
      : lengths_(lengths), limit_(limit) {
    if (lengths.is_none()) {
      kind_ = Kind::none;
    } else if (PyList_CheckExact(lengths.ptr())) {
      if (axes == 1 && PyList_GET_SIZE(lengths.ptr()) == count) kind_ = Kind::list;
    } else if (py::isinstance<py::array>(lengths)) {
      const auto array = py::reinterpret_borrow<py::array>(lengths);
      if (array.ndim() == axes && axes <= 1 && array.size() == count && is_readable(array)) {
        kind_ = Kind::array;
        stride_ = axes == 0 ? 0 : array.strides(0);
        data_ = static_cast<const char*>(array.data());
      }
    }
  }

  bool readable() const { return kind_ != Kind::unknown; }

  // False if the item's length is not an integer in [0, limit].
  bool read(Py_ssize_t item, std::int64_t& length) const {
    if (kind_ == Kind::none) return length = limit_, true;
    if (kind_ == Kind::array) {
      const char* const place = data_ + item * stride_;
      length = is_wide_ ? *reinterpret_cast<const volatile std::int64_t*>(place)
                        : *reinterpret_cast<const volatile std::int32_t*>(place);
    } else {
      // an owned reference, because the list may change, too
      const auto number =
          py::reinterpret_steal<py::object>(PySequence_GetItem(lengths_.ptr(), item));
      if (!number) return PyErr_Clear(), false;
      if (!PyLong_CheckExact(number.ptr())) return false;
      int overflow = 0;
      length = PyLong_AsLongLongAndOverflow(number.ptr(), &overflow);
      if (overflow != 0) return false;
    }
    return 0 <= length && length <= limit_;
  }

 private:
  enum class Kind { unknown, none, array, list };

  bool is_readable(const py::array& array) {
    const py::dtype dtype = array.dtype();
    is_wide_ = dtype.itemsize() == sizeof(std::int64_t);
    return dtype.kind() == 'i' && (is_wide_ || dtype.itemsize() == sizeof(std::int32_t)) &&
           dtype.byteorder() == '=' &&
           py::detail::check_flags(array.ptr(), py::detail::npy_api::NPY_ARRAY_ALIGNED_);
  }

  py::handle lengths_;
  std::int64_t limit_;
  Kind kind_ = Kind::unknown;
  bool is_wide_ = false;
  const char* data_ = nullptr;
  Py_ssize_t stride_ = 0;
};

py::object fill_items(Arguments& arguments) {
  auto items = py::reinterpret_borrow<py::array_t<std::int64_t>>(arguments.array());
  const Py_ssize_t axes = arguments.integer();
  const py::handle q_lengths = arguments.any(), kv_lengths = arguments.any();
  const std::int64_t query_length = arguments.integer(), key_length = arguments.integer();
  const bool lower_right = arguments.flag();
  const std::int64_t offset = arguments.integer();

  auto table = items.mutable_unchecked<2>();
  const Py_ssize_t count = table.shape(0);
  const Lengths queries(q_lengths, count, axes, query_length);
  const Lengths keys(kv_lengths, count, axes, key_length);
  if (!queries.readable() || !keys.readable()) return py::bool_(false);
  for (Py_ssize_t item = 0; item < count; ++item) {
    std::int64_t rows = 0, columns = 0;
    if (!queries.read(item, rows) || !keys.read(item, columns)) return py::bool_(false);
    table(item, 0) = table(item, 2) = 0;
    table(item, 1) = rows;
    table(item, 3) = columns;
    table(item, 4) = lower_right ? columns - rows : offset;
  }
  return py::bool_(true);
}

}  // namespace

void register_items(py::module_& module) { define<&fill_items, 8>(module, "fill_items"); }

}  // namespace heedful
