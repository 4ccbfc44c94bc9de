// A range [0, size) split into consecutive ranges whose lengths differ by at most one.
#pragma once

#include <cstddef>

namespace heedful {

struct EvenRanges {
  std::ptrdiff_t size, count;

  // 0 ≤ range ≤ count; begin(count) is the end of the last range
  std::ptrdiff_t begin(std::ptrdiff_t range) const { return size * range / count; }
  std::ptrdiff_t length(std::ptrdiff_t range) const { return begin(range + 1) - begin(range); }
};

}  // namespace heedful
