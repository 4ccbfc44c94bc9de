// NumPy arrays as the core sees them: the one file that knows both worlds. It trusts its arguments,
// which Python checked.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <vector>

#include "attention/problem.hpp"
#include "attention/tensor_view.hpp"

namespace heedful {

ElementType element_type_of(const pybind11::array& array);

// The leading axes of a call, and the offsets that arrays have in them; keeps what the views point
// to.
class Batch {
 public:
  // `packed` items share one array and find their rows by Item::query_begin and key_begin.
  explicit Batch(const pybind11::sequence& shape);

  std::ptrdiff_t size() const { return size_; }

  // Of an array (…, heads, rows, columns). Leading axes broadcast against the batch; axes of length
  // 1 get stride 0.
  TensorView view(const pybind11::array& array);
  // Of an array (…, heads, rows), as a view with one column.
  TensorView view_of_rows(const pybind11::array& array);
  // Of an array (…, rows, columns), as a view with one head.
  TensorView view_without_heads(const pybind11::array& array);
  // Of a mask or a bias, whose own axes broadcast too. None gives a view without data, here and
  // below.
  TensorView view_of_broadcast(const pybind11::object& array);
  TensorView view_or_none(const pybind11::object& array);
  TensorView view_of_rows_or_none(const pybind11::object& array);

 private:
  std::ptrdiff_t* offsets_of(const pybind11::array& array, int own_axes);

  std::vector<std::ptrdiff_t> shape_;
  std::ptrdiff_t size_ = 1;
  std::vector<std::vector<std::ptrdiff_t>> offsets_;
};

// The arguments that most functions share, in the order of _native.pyi.
struct Rules {
  double scale, softcap;
  std::ptrdiff_t left, right;
  pybind11::object mask, bias, alibi_slopes;
};

// A Problem, with the tables it points to.
class ProblemOf {
 public:
  ProblemOf(Batch& batch, const pybind11::array& query, const pybind11::array& key,
            const pybind11::object& items, std::ptrdiff_t offset, const Rules& rules);

  Problem problem;

 private:
  std::vector<Item> items_;
};

}  // namespace heedful
