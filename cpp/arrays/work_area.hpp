// A bump allocator for a thread's scratch memory: pieces start at cache lines. On nullptr it only
// adds up their sizes.
#pragma once

#include <cstddef>

namespace heedful {

class WorkArea {
 public:
  explicit WorkArea(std::byte* begin) : begin_(begin) {}

  template <class T>
  T* take(std::ptrdiff_t count) {
    std::byte* const piece = begin_ ? begin_ + size_ : nullptr;
    size_ += (static_cast<std::size_t>(count) * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(piece);
  }
  std::size_t size() const { return size_; }

 private:
  std::byte* begin_;
  std::size_t size_ = 0;
};

}  // namespace heedful
