// NumPy arrays as views and a Problem: the only file that knows both NumPy and the core. It does
// not check its arguments: Python did.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <vector>

#include "arrays/tensor_view.hpp"
#include "attention/problem/block_mask.hpp"
#include "attention/problem/problem.hpp"
#include "bindings/arguments.hpp"

namespace heedful {

// The element type of arrays that the core can read; std::nullopt for all others.
std::optional<ElementType> readable_type(const pybind11::dtype& dtype);

// The leading axes of a call, and the offsets of arrays along them; owns the tables that the views
// point to. Of the last three axes (heads, rows, columns), those that an array lacks have length 1.
class Batch {
 public:
  // shape: of the leading axes. length_first: matrices are (rows, heads, columns), see the stubs.
  Batch(const pybind11::tuple& shape, bool length_first);
  Batch(const Batch&) = delete;
  Batch& operator=(const Batch&) = delete;

  std::ptrdiff_t size() const { return size_; }

  // Of query, key, value, out and their gradients, whose axes are in the caller's order. Leading
  // axes broadcast against the batch; axes of length 1 get stride 0.
  TensorView view(const pybind11::array& array);
  // Of key or value pages, with the axes of a matrix after that of the pages, which the entries of
  // table (batch, pages of an item) name. scales (pages, heads, rows) for pages of int8, or None.
  TensorView view_of_pages(const pybind11::array& array, const pybind11::object& scales,
                           const pybind11::array& table);
  std::ptrdiff_t heads(const pybind11::array& array) const;
  std::ptrdiff_t rows(const pybind11::array& array) const;

  // Of an array (…, heads, rows, columns), whatever the caller's order.
  TensorView view_of_scores(const pybind11::array& array);
  // Of an array (…, heads, rows), as a view with one column.
  TensorView view_of_rows(const pybind11::array& array);
  // Of integers (…, heads, rows, columns), contiguous along the columns; the element type has no
  // meaning. None gives a view without data.
  TensorView view_of_integers(const pybind11::object& array);
  // Of an array (…, rows, columns), as a view with one head.
  TensorView view_without_heads(const pybind11::array& array);
  // Of a mask or a bias, whose own axes broadcast too. None gives a view without data, here and
  // below.
  TensorView view_of_broadcast(const pybind11::object& array);
  // Of a tuple that _native.pyi describes. The type of its kinds has no name among ElementType.
  BlockMask view_of_blocks(const pybind11::tuple& fields);
  TensorView view_of_scores_or_none(const pybind11::object& array);
  TensorView view_of_rows_or_none(const pybind11::object& array);
  TensorView view_or_none(const pybind11::object& array);

 private:
  bool swapped(const pybind11::array& array) const { return length_first_ && array.ndim() > 2; }
  std::ptrdiff_t* offsets_of(const pybind11::array& array, int own_axes);
  std::ptrdiff_t* take(std::ptrdiff_t count);

  static constexpr int max_axes = 64;  // of NumPy
  std::array<std::ptrdiff_t, max_axes> shape_;
  int axes_ = 0;
  bool length_first_;
  std::ptrdiff_t size_ = 1;

  PageTable page_table_;
  std::array<TensorView, 2> scales_;  // of keys and values
  std::size_t scales_used_ = 0;

  // tables of few items are stored inline: small calls allocate nothing
  std::array<std::ptrdiff_t, 64> inline_offsets_;
  std::ptrdiff_t used_ = 0;
  std::vector<std::unique_ptr<std::ptrdiff_t[]>> tables_;
};

// The arguments that most attention functions have in common, geometry to alibi_slopes in
// _native.pyi: a Problem, with the tables that it points to.
class AttentionArguments {
 public:
  AttentionArguments(Arguments& arguments, const pybind11::array& query,
                     const pybind11::array& key);
  AttentionArguments(const AttentionArguments&) = delete;
  AttentionArguments& operator=(const AttentionArguments&) = delete;

  Batch batch;
  Problem problem;

  // The score vector of additive attention, (Hkv or 1, E) of the computing type, contiguous; None
  // for other attention.
  void set_additive_weight(const pybind11::object& weight);

 private:
  AttentionArguments(const pybind11::tuple& geometry, Arguments& arguments,
                     const pybind11::array& query, const pybind11::array& key);
  template <class T>
  const void* within_range(const T* weight, std::ptrdiff_t rows, std::ptrdiff_t columns);
  void read_items(const pybind11::object& items, const Item& whole);

  std::array<Item, 4> inline_items_;
  std::unique_ptr<Item[]> items_;
  pybind11::object alibi_slopes_;
  std::unique_ptr<double[]> scaled_weight_;  // a copy, if the caller's is too large
};

}  // namespace heedful
