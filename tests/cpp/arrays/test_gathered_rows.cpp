// Rows named by indices, of every type and layout.
#include <vector>

#include "arrays/gathered_rows.hpp"
#include "attention/tensor.hpp"
#include "check.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

template <class T>
void rows_are_those_of_the_indices(ElementType type, Layout layout, std::ptrdiff_t columns) {
  Tensor tensor(type, {2, 3, 40, columns}, layout);
  RandomNumbers random(7);
  tensor.fill([&] { return random.exact(); });
  WorkArea sizes(nullptr);
  const GatheredRows<T> size_only(tensor.view(), columns, sizes);
  std::vector<double> memory(sizes.size() / sizeof(double) + 8);
  auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  WorkArea area(reinterpret_cast<std::byte*>((address + 63) / 64 * 64));
  const GatheredRows<T> gathered(tensor.view(), columns, area);
  const std::int32_t indices[] = {0, 3, 3, 31, 7};
  gathered.prefetch(1, 2, 5, indices, 5);
  const T* const* const rows = gathered.load(1, 2, 5, indices, 5);
  bool right = true;
  for (int i = 0; i < 5; ++i) {
    for (std::ptrdiff_t column = 0; column < columns; ++column) {
      right &= static_cast<double>(rows[i][column]) == tensor.get(1, 2, 5 + indices[i], column);
    }
    for (std::ptrdiff_t column = columns; column < simd::lanes<T>; ++column) {
      right &= rows[i][column] == 0;
    }
  }
  check(right, "row i is row first + indices[i], padded to a vector");
}

template <class T>
void everything(ElementType type) {
  for (const Layout layout : {Layout::plain, Layout::heads_inside, Layout::spread,
                              Layout::columns_out, Layout::reversed}) {
    for (const std::ptrdiff_t columns : {1, 3, 8, 16, 19}) {
      rows_are_those_of_the_indices<T>(type, layout, columns);
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using heedful::ElementType;
  for (const ElementType type :
       {ElementType::float32, ElementType::float16, ElementType::bfloat16}) {
    heedful::everything<float>(type);
  }
  heedful::everything<double>(ElementType::float64);
  return heedful::summary();
}
