// The arguments of a compiled function, read one after another in the order of _native.pyi.
//
// With as many arguments as attention has, pybind11's own dispatch takes half a microsecond, more
// than a tiny call takes to compute; this takes a tenth of that. Functions defined here take
// positional arguments only.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#ifdef __GLIBCXX__
#include <cxxabi.h>
#endif

#include <cstddef>
#include <cstdint>

namespace heedful {

class Arguments {
 public:
  explicit Arguments(PyObject* const* values) : next_(values) {}

  pybind11::handle any() { return *next_++; }
  pybind11::array array();
  // An array or None.
  pybind11::object array_or_none();
  pybind11::tuple tuple();
  pybind11::object tuple_or_none();
  std::ptrdiff_t integer() { return integer_of(any()); }
  std::uint64_t seed();
  double number();
  bool flag() { return any().ptr() == Py_True; }

  static std::ptrdiff_t integer_of(pybind11::handle value);

 private:
  PyObject* const* next_;
};

namespace detail {
[[noreturn]] void refuse_count(Py_ssize_t expected, Py_ssize_t given);

template <pybind11::object (*function)(Arguments&), Py_ssize_t count>
PyObject* call(PyObject*, PyObject* const* values, Py_ssize_t given) {
  try {
    if (given != count) refuse_count(count, given);
    Arguments arguments(values);
    return function(arguments).release().ptr();
  } catch (pybind11::error_already_set& error) {
    error.restore();
#ifdef __GLIBCXX__
  } catch (abi::__forced_unwind&) {
    throw;
#endif
  } catch (...) {
    pybind11::detail::try_translate_exceptions();
  }
  return nullptr;
}
}  // namespace detail

// Adds function, which reads `count` arguments, to the module.
template <pybind11::object (*function)(Arguments&), Py_ssize_t count>
void define(pybind11::module_& module, const char* name) {
  // cast by way of a plain function pointer, as Python's headers require
  static PyMethodDef definition{
      name,
      reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&detail::call<function, count>)),
      METH_FASTCALL, nullptr};
  PyObject* const object = PyCFunction_NewEx(&definition, nullptr, module.attr("__name__").ptr());
  if (object == nullptr) throw pybind11::error_already_set();
  module.add_object(name, pybind11::reinterpret_steal<pybind11::object>(object));
}

}  // namespace heedful
