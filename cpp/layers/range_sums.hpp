// Sums over the ranges of a sequence, and from them what each range sees: the sum of the ranges
// before it, or after it. For many sequences ("lines") of the same number of ranges.
#pragma once

#include <cstddef>

#include "arrays/row_loop.hpp"
#include "parallel/scratch.hpp"

namespace heedful {

template <class T>
class RangeSums {
 public:
  enum class Sees { before, after };

  // All sums are 0. `size` elements in each.
  RangeSums(std::ptrdiff_t lines, std::ptrdiff_t ranges, std::ptrdiff_t size, Sees sees)
      : ranges_(ranges),
        size_(size),
        forwards_(sees == Sees::before),
        slots_(lines * (ranges + 1) * size, zeroed) {}

  // The sum of one range, to be written before `accumulate`.
  T* own(std::ptrdiff_t line, std::ptrdiff_t range) { return slot(line, range + forwards_); }
  // What it sees, and the sum of all, afterwards.
  T* seen(std::ptrdiff_t line, std::ptrdiff_t range) { return slot(line, range + !forwards_); }
  T* total(std::ptrdiff_t line) { return slot(line, forwards_ ? ranges_ : 0); }

  // In the order in which the ranges see each other.
  void accumulate(std::ptrdiff_t line) {
    for (std::ptrdiff_t step = 1; step <= ranges_; ++step) {
      const std::ptrdiff_t place = forwards_ ? step : ranges_ - step;
      add(slot(line, place), slot(line, forwards_ ? place - 1 : place + 1));
    }
  }

 private:
  T* slot(std::ptrdiff_t line, std::ptrdiff_t place) {
    return slots_.data() + (line * (ranges_ + 1) + place) * size_;
  }
  void add(T* to, const T* other) const {
    for_each_element<T>(size_,
                        [&](auto at) { at.store(to, simd::add(at.load(to), at.load(other))); });
  }

  std::ptrdiff_t ranges_, size_;
  bool forwards_;
  Buffer<T> slots_;
};

}  // namespace heedful
