// Rotary embeddings against pairs rotated one by one in double, in every depth, stride and order of
// axes.
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "check.hpp"
#include "layers/rotary.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

// Axes of one example and its memory layout: heads outside of rows or inside, columns `column_step`
// elements apart, NaN in the gaps.
struct Shape {
  std::ptrdiff_t items, heads, rows, depth, pairs;
  bool interleaved = false, heads_inside = false;
  std::ptrdiff_t column_step = 1;
};

template <class T>
struct Example {
  Shape shape;
  std::vector<T> x, y, cos, sin;
  std::vector<std::ptrdiff_t> offsets, table_offsets;

  explicit Example(const Shape& given) : shape(given) {
    const T gap = std::numeric_limits<T>::quiet_NaN();
    x.assign(static_cast<std::size_t>(shape.items * item_step() + 1), gap);
    y = x;
    RandomNumbers random(5);
    each([&](std::ptrdiff_t place, auto...) { at(x, place) = T(random.between(-2, 2)); });
    for (std::ptrdiff_t i = 0; i < shape.items * shape.rows * shape.pairs; ++i) {
      const double angle = random.between(-7, 7);
      cos.push_back(T(std::cos(angle)));
      sin.push_back(T(std::sin(angle)));
    }
    for (std::ptrdiff_t item = 0; item < shape.items; ++item) {
      offsets.push_back(item * item_step() * size);
      table_offsets.push_back(item * shape.rows * shape.pairs * size);
    }
  }

  static constexpr std::ptrdiff_t size = sizeof(T);
  static T& at(std::vector<T>& values, std::ptrdiff_t place) {
    return values[static_cast<std::size_t>(place)];
  }
  std::ptrdiff_t width() const { return shape.depth * shape.column_step + 2; }  // with a gap
  std::ptrdiff_t item_step() const { return shape.heads * shape.rows * width(); }
  std::ptrdiff_t head_step() const { return shape.heads_inside ? width() : shape.rows * width(); }
  std::ptrdiff_t row_step() const { return shape.heads_inside ? shape.heads * width() : width(); }

  // visit(place, item, head, row, column)
  template <class Visit>
  void each(const Visit& visit) const {
    for (std::ptrdiff_t item = 0; item < shape.items; ++item) {
      for (std::ptrdiff_t head = 0; head < shape.heads; ++head) {
        for (std::ptrdiff_t row = 0; row < shape.rows; ++row) {
          for (std::ptrdiff_t column = 0; column < shape.depth; ++column) {
            visit(item * item_step() + head * head_step() + row * row_step() +
                      column * shape.column_step,
                  item, head, row, column);
          }
        }
      }
    }
  }

  TensorView view(std::vector<T>& values) {
    return {reinterpret_cast<char*>(values.data()),
            element_type<T>,
            offsets.data(),
            head_step() * size,
            row_step() * size,
            shape.column_step * size};
  }
  TensorView table(std::vector<T>& values) {
    return {reinterpret_cast<char*>(values.data()),
            element_type<T>,
            table_offsets.data(),
            0,
            shape.pairs * size,
            size};
  }
  void rotate(std::vector<T>& to, int threads) {
    rotate_rows<T>({shape.items, shape.heads, shape.rows, shape.depth, shape.pairs,
                    shape.interleaved, view(x), view(to), table(cos), table(sin)},
                   Team{threads});
  }
  bool same(const std::vector<T>& one, const std::vector<T>& other) const {
    return std::memcmp(one.data(), other.data(), one.size() * sizeof(T)) == 0;
  }
};

template <class T>
void is_right(const Shape& shape) {
  Example<T> example(shape);
  example.rotate(example.y, 1);
  const double unit = std::numeric_limits<T>::epsilon();
  std::vector<T> gaps = example.y;
  example.each([&](std::ptrdiff_t place, std::ptrdiff_t item, std::ptrdiff_t, std::ptrdiff_t row,
                   std::ptrdiff_t column) {
    example.at(gaps, place) = T(0);
    const double own = example.at(example.x, place), found = example.at(example.y, place);
    if (column >= 2 * shape.pairs) {
      check(found == own, "features after the rotated ones are copied");
      return;
    }
    const bool second = shape.interleaved ? column % 2 == 1 : column >= shape.pairs;
    const std::ptrdiff_t pair = shape.interleaved ? column / 2 : column % shape.pairs;
    const std::ptrdiff_t apart = (shape.interleaved ? 1 : shape.pairs) * shape.column_step;
    const double other = example.at(example.x, second ? place - apart : place + apart);
    const std::ptrdiff_t entry = (item * shape.rows + row) * shape.pairs + pair;
    const double across = example.at(example.sin, entry) * (second ? 1 : -1);
    close(found, own * example.at(example.cos, entry) + other * across, 6 * unit, "a rotated pair");
  });
  std::size_t untouched = 0;
  for (const T value : gaps) untouched += std::isnan(value) ? 1 : 0;
  const std::ptrdiff_t elements = shape.items * shape.heads * shape.rows * shape.depth;
  check(untouched == gaps.size() - static_cast<std::size_t>(elements),
        "nothing between the elements is written");
  for (const int threads : {2, 3}) {
    Example<T> together(shape);
    together.rotate(together.y, threads);
    check(example.same(together.y, example.y), "the same bits for any number of threads");
  }
  example.rotate(example.x, 1);
  check(example.same(example.x, example.y), "y may be x");
}

template <class T>
void every_depth() {
  for (const bool interleaved : {false, true}) {
    for (std::ptrdiff_t pairs = 1; pairs <= 35; ++pairs) {
      const std::ptrdiff_t unrotated = pairs % 4;
      is_right<T>({2, 3, 5, 2 * pairs + unrotated, pairs, interleaved, pairs % 2 == 0,
                   pairs % 3 == 0 ? 2 : 1});
    }
  }
}

template <class T>
void many_tasks() {
  for (const bool heads_inside : {false, true}) {
    is_right<T>({3, 5, 197, 34, 17, false, heads_inside});
    is_right<T>({1, 1, 2049, 34, 16, true, heads_inside});
    is_right<T>({2, 1031, 2, 10, 5, false, heads_inside});
  }
}

template <class T>
void nothing_to_rotate() {
  for (const Shape& shape : {Shape{0, 3, 5, 4, 2}, Shape{2, 0, 5, 4, 2}, Shape{2, 3, 0, 4, 2}}) {
    Example<T> example(shape);
    example.rotate(example.y, 2);
    check(std::isnan(example.y.back()), "nothing is written");
  }
}

template <class T>
void everything() {
  every_depth<T>();
  many_tasks<T>();
  nothing_to_rotate<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<float>();
  everything<double>();
  return summary();
}
