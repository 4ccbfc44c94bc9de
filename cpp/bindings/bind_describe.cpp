// describe: everything that checks depend on except the arrays' contents, as the key of a cache of
// checked calls. Equal keys mean equal types, shapes and values: nothing is hashed, and True
// differs from 1.
#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>

#include "bindings/arguments.hpp"
#include "bindings/bind_attention.hpp"
#include "bindings/numpy_view.hpp"

namespace heedful {
namespace py = pybind11;
namespace {

class Description {
 public:
  // Both, and all below, return false for an element of another kind, or if no room is left.
  bool add_arrays(const py::tuple& arrays) {
    return add_each(arrays, [this](py::handle array) { return add_array(array); });
  }
  bool add_values(const py::tuple& values) {
    return add_each(values, [this](py::handle value) { return add_value(value); });
  }

  py::object bytes() const { return py::bytes(text_, length_); }

 private:
  template <class Add>
  bool add_each(const py::tuple& elements, const Add& add) {
    const auto count = static_cast<std::ptrdiff_t>(elements.size());
    return add_number('(', count) && std::all_of(elements.begin(), elements.end(), add);
  }

  bool add_value(py::handle value) {
    PyObject* const object = value.ptr();
    if (object == Py_None) return add_tag('n');
    if (object == Py_True) return add_tag('t');
    if (object == Py_False) return add_tag('f');
    if (PyUnicode_CheckExact(object)) return add_text(object);
    if (PyLong_CheckExact(object)) return add_integer(object);
    return PyTuple_CheckExact(object) && add_tuple(py::reinterpret_borrow<py::tuple>(value));
  }

  // An array or None: type, byte order, alignment, shape, not the contents. Types with further
  // properties (dates, strings, records) have no description.
  bool add_array(py::handle value) {
    if (value.is_none()) return add_tag('n');
    if (!Py_IS_TYPE(value.ptr(), py::detail::npy_api::get().PyArray_Type_)) return false;
    const auto array = py::reinterpret_borrow<py::array>(value);
    const py::dtype dtype = array.dtype();
    constexpr int first_non_numeric = py::detail::npy_api::NPY_LONGDOUBLE_ + 1;
    const int type = dtype.num();
    if (type >= first_non_numeric && !readable_type(dtype)) return false;
    const bool aligned =
        py::detail::check_flags(array.ptr(), py::detail::npy_api::NPY_ARRAY_ALIGNED_);
    const char head[] = {'a', dtype.byteorder(), aligned ? '1' : '0',
                         static_cast<char>(array.ndim())};
    return add_raw(head, sizeof(head)) && add_raw(&type, sizeof(type)) &&
           add_raw(array.shape(), static_cast<std::size_t>(array.ndim()) * sizeof(Py_ssize_t));
  }

  bool add_raw(const void* data, std::size_t length) {
    if (length > sizeof(text_) - length_) return false;
    if (length == 0) return true;  // an array without axes has no shape
    std::memcpy(text_ + length_, data, length);
    length_ += length;
    return true;
  }

  bool add_tag(char tag) { return add_raw(&tag, 1); }

  bool add_number(char tag, std::ptrdiff_t number) {
    return add_tag(tag) && add_raw(&number, sizeof(number));
  }

  bool add_integer(PyObject* object) {
    int overflow = 0;
    const long long number = PyLong_AsLongLongAndOverflow(object, &overflow);
    return overflow == 0 && add_number('i', number);
  }

  bool add_text(PyObject* object) {
    Py_ssize_t length = 0;
    const char* const text = PyUnicode_AsUTF8AndSize(object, &length);
    if (text == nullptr) return PyErr_Clear(), false;
    return add_number('s', length) && add_raw(text, static_cast<std::size_t>(length));
  }

  bool add_tuple(const py::tuple& elements) {
    return add_each(elements, [this](py::handle element) {
      return !PyTuple_CheckExact(element.ptr()) && add_value(element);
    });
  }

  char text_[768];
  std::size_t length_ = 0;
};

// Takes two tuples, arrays and values: Python alone decides which options they hold.
py::object describe(Arguments& arguments) {
  Description description;
  const py::tuple arrays = arguments.tuple(), values = arguments.tuple();
  if (!description.add_arrays(arrays) || !description.add_values(values)) return py::none();
  return description.bytes();
}

}  // namespace

void register_describe(py::module_& module) { define<&describe, 2>(module, "describe"); }

}  // namespace heedful
