// Rows that a thread keeps from task to task: whatever was read before, they are those of the head.
#include <cstdint>
#include <vector>

#include "arrays/kept_rows.hpp"
#include "attention/tensor.hpp"
#include "check.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t rows = 23, columns = 5, first = 2;

template <class T>
struct Example {
  Tensor tensor;
  std::vector<std::uint64_t> memory;
  KeptRows<T> kept;

  explicit Example(ElementType type)
      : tensor(filled(type)), memory(4096, 1), kept(in(memory.data())) {
    kept.clear();
  }
  static Tensor filled(ElementType type) {
    RandomNumbers random(3);
    Tensor tensor(type, {3, 2, first + rows, columns}, Layout::heads_inside);
    tensor.fill([&] { return random.exact(); });
    return tensor;
  }
  static KeptRows<T> in(std::uint64_t* memory) {
    WorkArea area(reinterpret_cast<std::byte*>(memory));
    return KeptRows<T>(rows, columns, area);
  }

  // Loads rows [begin, end) and compares them with the tensor's.
  bool loads(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t begin, std::ptrdiff_t end) {
    const Rows<T> loaded = kept.load(tensor.view(), item, head, first, begin, end, columns);
    bool right = loaded.stride == padded<T>(columns);
    for (std::ptrdiff_t row = begin; row < end; ++row) {
      for (std::ptrdiff_t column = 0; column < loaded.stride; ++column) {
        const double expected = column < columns ? tensor.get(item, head, first + row, column) : 0;
        right &= loaded.data[(row - begin) * loaded.stride + column] == static_cast<T>(expected);
      }
    }
    return right;
  }
};

template <class T>
void any_order_of_ranges_is_right(ElementType type) {
  Example<T> example(type);
  RandomNumbers random(4);
  const auto below = [&](std::ptrdiff_t bound) {
    return static_cast<std::ptrdiff_t>(random.between(0, static_cast<double>(bound)));
  };
  bool right = true;
  std::ptrdiff_t item = 0, head = 0;
  for (int round = 0; round < 500; ++round) {
    if (below(4) == 0) item = below(3), head = below(2);
    const std::ptrdiff_t begin = below(rows), end = begin + below(rows - begin + 1);
    right &= example.loads(item, head, begin, end);
  }
  check(right, "each range holds the rows of its head");
}

template <class T>
void kept_rows_are_not_read_again() {
  Example<T> example(element_type<T>);
  example.loads(1, 1, 4, 9);
  const double before = example.tensor.get(1, 1, first + 5, 0);
  example.tensor.set(1, 1, first + 5, 0, before + 1);
  const Rows<T> again = example.kept.load(example.tensor.view(), 1, 1, first, 2, 12, columns);
  check(again.data[3 * again.stride] == static_cast<T>(before), "a kept row is as it was");
  example.loads(1, 0, 0, 1);
  check(example.loads(1, 1, 5, 6), "it is read again after another head");
  example.kept.clear();
  example.tensor.set(1, 1, first + 5, 0, before);
  check(example.loads(1, 1, 5, 6), "and in the next call");
}

void too_many_rows_are_not_kept() {
  WorkArea area(nullptr);
  check(!KeptRows<float>(1 << 20, 64, area).keeps() && area.size() == 0, "beyond max_bytes");
  check(!KeptRows<float>(0, 64, area).keeps() && area.size() == 0, "no rows");
  check(KeptRows<float>(8192, 64, area).keeps(), "as many as max_bytes holds");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  for (const ElementType type :
       {ElementType::float32, ElementType::float64, ElementType::float16, ElementType::bfloat16}) {
    any_order_of_ranges_is_right<float>(type);
    any_order_of_ranges_is_right<double>(type);
  }
  kept_rows_are_not_read_again<float>();
  kept_rows_are_not_read_again<double>();
  too_many_rows_are_not_kept();
  return summary();
}
