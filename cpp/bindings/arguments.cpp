#include "bindings/arguments.hpp"

#include <string>

namespace heedful {
namespace py = pybind11;
namespace {

[[noreturn]] void refuse(const char* expected, py::handle value) {
  throw py::type_error(std::string("expected ") + expected + ", got " +
                       py::str(py::type::handle_of(value)).cast<std::string>());
}

}  // namespace

py::array Arguments::array() {
  const py::handle value = any();
  if (!py::isinstance<py::array>(value)) refuse("an array", value);
  return py::reinterpret_borrow<py::array>(value);
}

py::object Arguments::array_or_none() {
  const py::handle value = any();
  if (!value.is_none() && !py::isinstance<py::array>(value)) refuse("an array or None", value);
  return py::reinterpret_borrow<py::object>(value);
}

py::tuple Arguments::tuple() {
  const py::handle value = any();
  if (!PyTuple_Check(value.ptr())) refuse("a tuple", value);
  return py::reinterpret_borrow<py::tuple>(value);
}

py::object Arguments::tuple_or_none() {
  const py::handle value = any();
  if (!value.is_none() && !PyTuple_Check(value.ptr())) refuse("a tuple or None", value);
  return py::reinterpret_borrow<py::object>(value);
}

std::ptrdiff_t Arguments::integer_of(py::handle value) {
  const Py_ssize_t number = PyLong_AsSsize_t(value.ptr());
  if (number == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
  return number;
}

std::uint64_t Arguments::seed() {
  const unsigned long long number = PyLong_AsUnsignedLongLong(any().ptr());
  if (number == static_cast<unsigned long long>(-1) && PyErr_Occurred() != nullptr) {
    throw py::error_already_set();
  }
  return number;
}

double Arguments::number() {
  const double number = PyFloat_AsDouble(any().ptr());
  if (number == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
  return number;
}

void detail::refuse_count(Py_ssize_t expected, Py_ssize_t given) {
  throw py::type_error("expected " + std::to_string(expected) + " arguments, got " +
                       std::to_string(given));
}

}  // namespace heedful
