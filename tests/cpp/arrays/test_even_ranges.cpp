// Even ranges: consecutive without gaps, with lengths that differ by at most one.
#include <initializer_list>

#include "arrays/even_ranges.hpp"
#include "check.hpp"

namespace heedful {
namespace {

void ranges_are_even_and_leave_no_gap() {
  for (const std::ptrdiff_t size : {0, 1, 7, 97, 1025}) {
    for (const std::ptrdiff_t count : {1, 3, 7, 64}) {
      const EvenRanges ranges{size, count};
      check(ranges.begin(0) == 0 && ranges.begin(count) == size, "from the first to the last");
      bool even = true;
      for (std::ptrdiff_t range = 0; range < count; ++range) {
        const std::ptrdiff_t length = ranges.length(range);
        even &= length == size / count || length == size / count + 1;
        even &= ranges.begin(range) + length == ranges.begin(range + 1);
      }
      check(even, "of nearly the same length");
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::ranges_are_even_and_leave_no_gap();
  return heedful::summary();
}
