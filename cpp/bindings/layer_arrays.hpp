// NumPy arrays of the layers, of float32 or float64, or narrow weights: contiguous elements, or
// matrices with contiguous rows. Python checked shapes and strides; the element type is checked
// here.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <string>
#include <type_traits>

#include "arrays/matrix.hpp"
#include "arrays/rows.hpp"
#include "kernels/activations.hpp"
#include "parallel/cost.hpp"
#include "simd/half.hpp"

namespace heedful {

[[noreturn]] inline void refuse_type(const pybind11::array& array) {
  throw pybind11::type_error(
      "arrays must be all float32 or all float64: got " +
      pybind11::str(static_cast<pybind11::object>(array.dtype())).cast<std::string>());
}

inline bool is_double(const pybind11::array& array) {
  return array.dtype().num() == pybind11::detail::npy_api::NPY_DOUBLE_;
}

// Of an element-wise computation of the array.
inline Cost cost_of(const pybind11::array& array) {
  return Cost::of_elements(static_cast<double>(array.size()));
}

// The elements of an array of T; const T for arrays that may be read-only.
template <class T>
T* elements_of(const pybind11::array& array) {
  using Element = std::remove_const_t<T>;
  const int type_number = std::is_same_v<Element, double> ? pybind11::detail::npy_api::NPY_DOUBLE_
                                                          : pybind11::detail::npy_api::NPY_FLOAT_;
  if (array.dtype().num() != type_number) refuse_type(array);
  return static_cast<T*>(const_cast<void*>(array.data()));
}

template <class T>
T* elements_or_none(const pybind11::object& object) {
  return object.is_none() ? nullptr
                          : elements_of<T>(pybind11::reinterpret_borrow<pybind11::array>(object));
}

// The rows of a two-dimensional array.
template <class T>
Matrix<T> matrix_of(const pybind11::array& array) {
  if (array.ndim() != 2) throw pybind11::value_error("expected a two-dimensional array");
  return {elements_of<T>(array), array.strides(0) / static_cast<std::ptrdiff_t>(sizeof(T))};
}

template <class T>
Matrix<T> matrix_or_none(const pybind11::object& object) {
  return object.is_none() ? Matrix<T>{}
                          : matrix_of<T>(pybind11::reinterpret_borrow<pybind11::array>(object));
}

// The elements of an array of signed integers of this size.
template <class Integer>
const Integer* integers_of(const pybind11::array& array) {
  const pybind11::dtype dtype = array.dtype();
  if (dtype.kind() != 'i' || dtype.itemsize() != sizeof(Integer)) {
    throw pybind11::type_error(
        "expected integers of " + std::to_string(8 * sizeof(Integer)) + " bits, got " +
        pybind11::str(static_cast<pybind11::object>(dtype)).cast<std::string>());
  }
  return static_cast<const Integer*>(array.data());
}

// The rows of a matrix of bfloat16, given as unsigned integers, the bits of its elements.
inline Rows<simd::Bfloat16> bfloat16_rows(const pybind11::array& array) {
  if (array.ndim() != 2 || array.dtype().kind() != 'u' || array.itemsize() != 2) {
    throw pybind11::type_error("expected a two-dimensional array of 16-bit unsigned integers");
  }
  return {static_cast<const simd::Bfloat16*>(array.data()), array.strides(0) / 2};
}

// "" or the name of an activation.
Activation activation_of(pybind11::handle name);

}  // namespace heedful
