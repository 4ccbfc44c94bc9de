// A matrix in the caller's memory: contiguous rows, any distance apart.
#pragma once

#include <cstddef>

namespace heedful {

template <class T>
struct Matrix {
  T* data = nullptr;
  std::ptrdiff_t stride = 0;  // in elements, from one row to the next

  T* row(std::ptrdiff_t index) const { return data + index * stride; }
  explicit operator bool() const { return data != nullptr; }
};

}  // namespace heedful
