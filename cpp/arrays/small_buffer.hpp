// A table that allocates nothing where it has few elements: an allocation takes 0.1 µs, a small
// call a few.
#pragma once

#include <array>
#include <cstddef>

#include "parallel/scratch.hpp"

namespace heedful {

// Contents undefined.
template <class T, std::ptrdiff_t few>
class SmallBuffer {
 public:
  explicit SmallBuffer(std::ptrdiff_t count) : size_(count), many_(count > few ? count : 0) {}

  T* begin() noexcept { return size_ > few ? many_.data() : few_.data(); }
  T* end() noexcept { return begin() + size_; }
  const T* begin() const noexcept { return size_ > few ? many_.data() : few_.data(); }
  const T* end() const noexcept { return begin() + size_; }
  T& operator[](std::ptrdiff_t index) noexcept { return begin()[index]; }
  const T& operator[](std::ptrdiff_t index) const noexcept { return begin()[index]; }

 private:
  std::ptrdiff_t size_;
  std::array<T, few> few_;
  Buffer<T> many_;
};

}  // namespace heedful
