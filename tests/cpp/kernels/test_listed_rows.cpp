// Products with listed rows, against long double: every length of list and row, ∞ included.
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "kernels/listed_rows.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

template <class T>
struct Listed {
  static constexpr std::ptrdiff_t width = simd::lanes<T>, stored = 23;

  std::ptrdiff_t columns, stride;
  RowVectors<T> vectors;
  std::vector<T> memory, query, weights;
  std::vector<const T*> rows;
  RandomNumbers random{31};

  // Rows of `columns` elements, no longer than a vector or padded to one.
  Listed(std::ptrdiff_t row_columns, std::ptrdiff_t count)
      : columns(row_columns),
        stride(std::max(columns, columns > 0 ? width : 0)),
        vectors(columns),
        memory(numbers(stored * stride)),
        query(numbers(vectors.count * width)),
        weights(numbers(count)) {
    for (std::ptrdiff_t row = 0; row < stored; ++row) {
      for (std::ptrdiff_t column = columns; column < stride; ++column) {
        memory[static_cast<std::size_t>(row * stride + column)] = 0;
      }
    }
    for (std::ptrdiff_t i = 0; i < vectors.repeated(); ++i) {
      query[static_cast<std::size_t>((vectors.count - 1) * width + i)] = 0;
    }
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      const auto row = static_cast<std::ptrdiff_t>(random.bits() % stored);
      rows.push_back(memory.data() + row * stride);
    }
  }
  std::vector<T> numbers(std::ptrdiff_t count) {
    std::vector<T> values(static_cast<std::size_t>(count));
    for (T& value : values) value = static_cast<T>(random.between(-1, 1));
    return values;
  }
  std::ptrdiff_t count() const { return static_cast<std::ptrdiff_t>(rows.size()); }
  // The place of a column in the layout of vectors: the first one that has it.
  std::size_t place(std::ptrdiff_t column) const {
    const std::ptrdiff_t last = (vectors.count - 1) * width;
    return static_cast<std::size_t>(column < last ? column : last + column - vectors.last);
  }
};

template <class T>
void products_are_those_of_the_definition() {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  constexpr T epsilon = std::numeric_limits<T>::epsilon();
  for (const std::ptrdiff_t columns :
       {std::ptrdiff_t{0}, std::ptrdiff_t{1}, width - 1, width, width + 1, 2 * width, 3 * width - 1,
        4 * width, 5 * width + 3, 7 * width}) {
    for (const std::ptrdiff_t count : {0, 1, 2, 3, 4, 5, 8, 15, 16, 17, 33}) {
      const Listed<T> listed(columns, count);
      std::vector<T> products(static_cast<std::size_t>(count + width + 1), T(-77));
      dot_listed(listed.query.data(), listed.rows.data(), count, listed.vectors, products.data());
      bool right = products.back() == T(-77);
      for (std::ptrdiff_t i = 0; i < count; ++i) {
        long double sum = 0;
        for (std::ptrdiff_t c = 0; c < columns; ++c) {
          sum += static_cast<long double>(listed.query[listed.place(c)]) *
                 listed.rows[static_cast<std::size_t>(i)][c];
        }
        right &= std::abs(products[static_cast<std::size_t>(i)] - sum) <=
                 static_cast<long double>(epsilon) * (columns + 1);
      }
      check(right, "products[i] = query · rows[i]");

      for (const bool accumulate : {false, true}) {
        std::vector<T> sums(static_cast<std::size_t>(listed.vectors.count * width + 1), T(0.5));
        weigh_listed(listed.weights.data(), listed.rows.data(), count, listed.vectors, accumulate,
                     sums.data());
        right = sums.back() == T(0.5);
        for (std::ptrdiff_t c = 0; c < columns; ++c) {
          long double sum = accumulate ? 0.5L : 0.0L;
          for (std::ptrdiff_t i = 0; i < count; ++i) {
            const auto at = static_cast<std::size_t>(i);
            sum += static_cast<long double>(listed.weights[at]) * listed.rows[at][c];
          }
          right &= std::abs(sums[listed.place(c)] - sum) <=
                   static_cast<long double>(epsilon) * (count + 1);
        }
        check(right, "sum = Σ weights[i] · rows[i]");
      }
    }
  }
}

// What the last vector repeats is not multiplied: 0 · ∞ would be NaN.
template <class T>
void an_infinity_counts_once() {
  constexpr std::ptrdiff_t columns = simd::lanes<T> + 1;
  Listed<T> listed(columns, 5);
  for (std::ptrdiff_t column = 0; column < columns; ++column) {
    std::vector<T> row(static_cast<std::size_t>(columns), T(1));
    row[static_cast<std::size_t>(column)] = std::numeric_limits<T>::infinity();
    const T* const rows[] = {row.data()};
    std::vector<T> products(static_cast<std::size_t>(simd::lanes<T>));
    dot_listed(listed.query.data(), rows, 1, listed.vectors, products.data());
    check(std::isinf(products[0]), "an infinite element gives an infinite product");
  }
}

template <class T>
void everything() {
  products_are_those_of_the_definition<T>();
  an_infinity_counts_once<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
