// Rows of the caller's arrays as the kernels read and write them: one row converted, and those of
// a head in place or converted.
#pragma once

#include <cstddef>
#include <cstdint>

#include "arrays/tensor_view.hpp"
#include "simd/half.hpp"
#include "simd/packet.hpp"

namespace heedful {

// Count rounded up to full vectors.
template <class T>
inline constexpr std::ptrdiff_t padded(std::ptrdiff_t count) {
  return (count + simd::lanes<T> - 1) / simd::lanes<T> * simd::lanes<T>;
}

// A row of the caller's array, of any type and stride, as T.
template <class T>
void read_row(const char* from, ElementType type, std::ptrdiff_t stride, T* to,
              std::ptrdiff_t count);
template <class T>
void write_row(const T* from, char* to, ElementType type, std::ptrdiff_t stride,
               std::ptrdiff_t count);

// Row `row` of a head as T, times its scale if it has one.
template <class T>
void read_row(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t row,
              T* to, std::ptrdiff_t columns);

// Rows of a key or value array that a kernel reads as elements of type T.
template <class T>
struct Rows {
  const T* data;
  std::ptrdiff_t stride;

  const T* operator[](std::ptrdiff_t row) const { return data + row * stride; }
};

// Likewise, of any places in memory.
template <class T>
struct RowList {
  const T* const* rows;

  const T* operator[](std::ptrdiff_t row) const { return rows[row]; }
};

// What rows must be, besides contiguous elements of type T, to be read in place.
enum class InPlace : unsigned char {
  any_stride,
  full_vector,  // no shorter than a vector, of any stride
  // at most two row lengths apart: rows of one head that alternate with those of other heads map to
  // few L1 and L2 sets, and lie on a page each. A copy pays off if it is read twice or more.
  close,
};

// Whether any rows of a head are read in place.
template <class T>
bool reads_in_place(const TensorView& view, std::ptrdiff_t columns, InPlace condition);

// Rows [first, first + count) of one head: in place if reads_in_place, or likewise on a single
// page, else converted into buffer (count, padded columns) with zeros past the last column.
template <class T>
Rows<T> load_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                  std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t columns,
                  InPlace condition, T* buffer);

// The same, always copied.
template <class T>
void copy_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
               std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t columns, T* buffer);

// Σ a b, with one partial sum per vector lane.
template <class T>
T dot(const T* a, const T* b, std::ptrdiff_t count);

}  // namespace heedful
