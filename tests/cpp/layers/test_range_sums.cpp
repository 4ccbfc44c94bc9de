// Sums of ranges, and what each range sees of the others, in exact numbers.
#include "check.hpp"
#include "layers/range_sums.hpp"

namespace heedful {
namespace {

template <class T>
void both_directions() {
  constexpr std::ptrdiff_t lines = 3, ranges = 5, size = 7;
  const auto own = [](std::ptrdiff_t line, std::ptrdiff_t range, std::ptrdiff_t element) {
    return static_cast<T>(100 * line + 10 * range + element);
  };
  for (const auto sees : {RangeSums<T>::Sees::before, RangeSums<T>::Sees::after}) {
    RangeSums<T> sums(lines, ranges, size, sees);
    const bool before = sees == RangeSums<T>::Sees::before;
    check(sums.seen(1, before ? 0 : ranges - 1)[0] == 0, "nothing is seen at first");
    for (std::ptrdiff_t line = 0; line < lines; ++line) {
      for (std::ptrdiff_t range = 0; range < ranges; ++range) {
        for (std::ptrdiff_t e = 0; e < size; ++e) sums.own(line, range)[e] = own(line, range, e);
      }
    }
    for (std::ptrdiff_t line = 0; line < lines; ++line) sums.accumulate(line);
    for (std::ptrdiff_t line = 0; line < lines; ++line) {
      for (std::ptrdiff_t e = 0; e < size; ++e) {
        T total = 0;
        for (std::ptrdiff_t range = 0; range < ranges; ++range) {
          T seen = 0;
          for (std::ptrdiff_t other = 0; other < ranges; ++other) {
            if (before ? other < range : other > range) seen += own(line, other, e);
          }
          check(sums.seen(line, range)[e] == seen, "a range sees those on its one side");
          total += own(line, range, e);
        }
        check(sums.total(line)[e] == total, "the total is the sum of all");
      }
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::both_directions<float>();
  heedful::both_directions<double>();
  return heedful::summary();
}
