// Positions in a ragged batch: each maps to its item, head and index.
#include <initializer_list>

#include "arrays/ragged_range.hpp"
#include "check.hpp"

namespace heedful {
namespace {

// `items` of 9: few and many.
void every_position_is_found(std::ptrdiff_t items) {
  const std::ptrdiff_t counts[] = {0, 3, 0, 0, 1, 17, 0, 0, 2}, heads = 5;
  const RaggedRange range(items, heads, [&](std::ptrdiff_t i) { return counts[i]; });
  check(range.size() == heads * (items < 9 ? 21 : 23), "the sum over all heads");
  std::ptrdiff_t position = 0;
  for (std::ptrdiff_t item = 0; item < items; ++item) {
    check(range.count(item) == counts[item], "the count of one head");
    for (std::ptrdiff_t head = 0; head < heads; ++head) {
      check(range.begin(item, head) == position, "heads one after another");
      for (std::ptrdiff_t index = 0; index < counts[item]; ++index, ++position) {
        const RaggedRange::Place place = range[position];
        check(place.item == item && place.head == head && place.index == index, "its place");
      }
    }
  }
}

void empty_ranges_have_size_0() {
  const auto three = [](std::ptrdiff_t) -> std::ptrdiff_t { return 3; };
  check(RaggedRange(0, 5, three).size() == 0, "no items");
  check(RaggedRange(5, 0, three).size() == 0, "no heads");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  for (const std::ptrdiff_t items : {7, 8, 9}) every_position_is_found(items);
  empty_ranges_have_size_0();
  return summary();
}
