// The rows of a tile: loaded on first use, checked once.
#include <limits>
#include <vector>

#include "attention/scores/tile_rows.hpp"
#include "check.hpp"
#include "random_numbers.hpp"
#include "tensor.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t columns = 5;

template <class T>
struct Loaded {
  Tensor tensor;
  std::vector<T> buffer;
  TileRows<T> rows;

  // Keys 3 to 6 of an item that begins at row 2: rows 5 to 8.
  explicit Loaded(ElementType type)
      : tensor(filled(type)),
        buffer(static_cast<std::size_t>(4 * padded<T>(columns)), T(-77)),
        rows(tensor.view(), 1, 2, 2, {3, 7}, columns, InPlace::any_stride, buffer.data()) {}

  static Tensor filled(ElementType type) {
    RandomNumbers random(12);
    Tensor tensor(type, {2, 3, 11, columns});
    tensor.fill([&] { return random.exact(); });
    return tensor;
  }
};

template <class T>
void rows_are_those_of_the_tile() {
  for (const ElementType type :
       {ElementType::float32, ElementType::float64, ElementType::bfloat16}) {
    Loaded<T> loaded(type);
    bool right = true;
    for (std::ptrdiff_t key = 3; key < 7; ++key) {
      const Rows<T> rows = loaded.rows.from(key);
      for (std::ptrdiff_t row = 0; row < 7 - key; ++row) {
        for (std::ptrdiff_t column = 0; column < columns; ++column) {
          right &= rows.data[row * rows.stride + column] ==
                   static_cast<T>(loaded.tensor.get(1, 2, 2 + key + row, column));
        }
      }
    }
    check(right, "key j of the item is row key_begin + j");
  }
}

template <class T>
void rows_are_copied_on_first_use() {
  const ElementType other =
      sizeof(T) == sizeof(float) ? ElementType::float64 : ElementType::float32;
  Loaded<T> loaded(other);
  check(loaded.buffer[0] == T(-77), "an unused tile is not copied");
  loaded.rows.from(3);
  check(loaded.buffer[0] == static_cast<T>(loaded.tensor.get(1, 2, 5, 0)),
        "it is copied on first use");
  loaded.tensor.set(1, 2, 5, 0, 123);
  loaded.rows.from(4);
  check(loaded.buffer[0] != T(123), "and not again");
}

// 16-bit rows are checked as stored, without widening them.
void finite_reads_stored_bits() {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (const ElementType type : {ElementType::float16, ElementType::bfloat16}) {
    const double largest = type == ElementType::float16 ? 65504 : 3.3895313892515355e38;
    Loaded<float> clean(type);
    clean.tensor.set(1, 2, 4, 0, nan);
    clean.tensor.set(1, 2, 9, 0, nan);
    clean.tensor.set(1, 2, 6, 3, -largest);
    check(clean.rows.finite(), "the largest finite number is finite");
    check(clean.buffer[0] == -77, "and no row is widened");
    for (const double odd : {nan, infinity, -infinity}) {
      Loaded<float> loaded(type);
      loaded.tensor.set(1, 2, 8, 4, odd);
      check(!loaded.rows.finite(), "NaN and ∞ are found in the last element");
    }
  }
}

template <class T>
void finite_reads_the_tile_alone() {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  Loaded<T> clean(element_type<T>);
  clean.tensor.set(1, 2, 4, 0, nan);
  clean.tensor.set(1, 2, 9, 0, nan);
  clean.tensor.set(1, 1, 6, 0, nan);
  check(clean.rows.finite() && clean.rows.finite(), "elements outside the tile are ignored");
  Loaded<T> odd(element_type<T>);
  odd.tensor.set(1, 2, 8, 4, nan);
  check(!odd.rows.finite() && !odd.rows.finite(), "a NaN in its last element is found");
}

template <class T>
void everything() {
  rows_are_those_of_the_tile<T>();
  rows_are_copied_on_first_use<T>();
  finite_reads_the_tile_alone<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::finite_reads_stored_bits();
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
