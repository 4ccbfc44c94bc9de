// A thread's scratch memory, dealt out in pieces that start at cache lines. Dealt from nullptr it
// only counts.
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
