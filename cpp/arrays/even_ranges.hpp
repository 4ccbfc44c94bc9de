// A range [0, size) cut into ranges of nearly the same length, one after another.
#pragma once

#include <cstddef>

namespace heedful {

struct EvenRanges {
  std::ptrdiff_t size, count;

  // 0 ≤ range ≤ count; that of `count` is where the last one ends
  std::ptrdiff_t begin(std::ptrdiff_t range) const { return size * range / count; }
  std::ptrdiff_t length(std::ptrdiff_t range) const { return begin(range + 1) - begin(range); }
};

}  // namespace heedful
