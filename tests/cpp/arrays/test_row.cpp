// One row of the caller's arrays: read, written, and its dot product with another.
#include <cmath>
#include <limits>
#include <vector>

#include "arrays/rows.hpp"
#include "check.hpp"
#include "half_bits.hpp"
#include "random_numbers.hpp"
#include "tensor.hpp"

namespace heedful {
namespace {

constexpr ElementType floating_types[] = {ElementType::float32, ElementType::float64,
                                          ElementType::float16, ElementType::bfloat16};
constexpr std::ptrdiff_t counts[] = {0, 1, 2, 3, 7, 16, 31, 63, 64, 65, 130};
constexpr Layout layouts[] = {Layout::plain, Layout::spread, Layout::columns_out, Layout::reversed};

template <class T>
std::vector<T> filled(std::ptrdiff_t count, T value = T{0}) {
  return std::vector<T>(static_cast<std::size_t>(count), value);
}

template <class T>
void a_row_of_any_type_and_stride_is_read() {
  RandomNumbers random(7);
  for (const std::ptrdiff_t count : counts) {
    for (const Layout layout : layouts) {
      for (const ElementType type : floating_types) {
        Tensor tensor(type, {1, 1, 3, count}, layout);
        tensor.fill([&] { return random.exact(); });
        auto row = filled<T>(count + 1, T(-77));
        read_row(tensor.view().row(0, 0, 1), type, tensor.view().column_stride, row.data(), count);
        bool right = row.back() == T(-77);
        for (std::ptrdiff_t i = 0; i < count; ++i) {
          right &= row[static_cast<std::size_t>(i)] == static_cast<T>(tensor.get(0, 0, 1, i));
        }
        check(right, "a row is read element by element, and not past its end");
      }
    }
  }
  const std::uint8_t booleans[] = {1, 0, 0, 1, 1};
  T row[5];
  read_row(reinterpret_cast<const char*>(booleans), ElementType::boolean, 1, row, 5);
  check(row[0] == 1 && row[1] == 0 && row[2] == 0 && row[3] == 1 && row[4] == 1,
        "booleans are read as 0 and 1");
}

template <class T>
void a_broadcast_element_is_read_repeatedly() {
  for (const ElementType type : floating_types) {
    char memory[8] = {};
    put_element(memory, type, -1.25);
    auto row = filled<T>(130);
    read_row(memory, type, 0, row.data(), 130);
    bool right = true;
    for (const T value : row) right &= value == T(-1.25);
    check(right, "stride 0 repeats an element");
  }
}

template <class T>
void a_row_is_written_in_any_type_and_stride() {
  RandomNumbers random(8);
  for (const std::ptrdiff_t count : counts) {
    for (const Layout layout : layouts) {
      for (const ElementType type : floating_types) {
        Tensor tensor(type, {1, 1, 3, count}, layout);
        tensor.fill([&] { return 3.0; });
        auto row = filled<T>(count);
        for (T& value : row) value = static_cast<T>(random.between(-5, 5));  // to be rounded
        write_row(row.data(), tensor.view().row(0, 0, 1), type, tensor.view().column_stride, count);
        Tensor expected(type, {1, 1, 3, count}, layout);
        expected.fill([&] { return 3.0; });
        for (std::ptrdiff_t i = 0; i < count; ++i) {
          // halves are rounded from float, the computing type of 16-bit elements
          const T value = row[static_cast<std::size_t>(i)];
          const bool half = element_size(type) == 2;
          expected.set(
              0, 0, 1, i,
              half ? static_cast<double>(static_cast<float>(value)) : static_cast<double>(value));
        }
        check(tensor.bytes() == expected.bytes(),
              "a row is written rounded, and nothing outside it");
      }
    }
  }
}

// Rows in any order in memory, each with exactly its columns.
template <class T>
void dot_is_a_dot_product() {
  RandomNumbers random(17);
  for (const std::ptrdiff_t count : counts) {
    auto a = filled<T>(count), b = filled<T>(count);
    long double expected = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      a[i] = static_cast<T>(random.between(-1, 1));
      b[i] = static_cast<T>(random.between(-1, 1));
      expected += static_cast<long double>(a[i]) * b[i];
    }
    const double allowed =
        static_cast<double>(count) * static_cast<double>(std::numeric_limits<T>::epsilon());
    close(dot(a.data(), b.data(), count), static_cast<double>(expected), allowed, "dot = Σ a b");
  }
}

template <class T>
void everything() {
  a_row_of_any_type_and_stride_is_read<T>();
  a_broadcast_element_is_read_repeatedly<T>();
  a_row_is_written_in_any_type_and_stride<T>();
  dot_is_a_dot_product<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
