// Products of a chunk's rows against sums in long double, with NaN where a row does not see.
#include <cmath>
#include <limits>
#include <vector>

#include "arrays/rows.hpp"
#include "check.hpp"
#include "layers/chunk_products.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

// Rows of scratch memory: zeros past the last column.
template <class T>
struct Chunk {
  std::ptrdiff_t columns;
  std::vector<T> elements;

  explicit Chunk(std::ptrdiff_t columns_, std::ptrdiff_t rows = chunk_rows)
      : columns(columns_), elements(static_cast<std::size_t>(rows * padded<T>(columns_)), T{0}) {}
  Chunk(std::ptrdiff_t columns_, RandomNumbers& random) : Chunk(columns_) {
    for (std::ptrdiff_t i = 0; i < chunk_rows; ++i) {
      for (std::ptrdiff_t c = 0; c < columns; ++c) at(i, c) = static_cast<T>(random.between(-2, 2));
    }
  }
  Matrix<T> rows() { return {elements.data(), padded<T>(columns)}; }
  T& at(std::ptrdiff_t i, std::ptrdiff_t c) {
    return elements[static_cast<std::size_t>(i * padded<T>(columns) + c)];
  }
};

template <class T>
void lower_scores(std::ptrdiff_t count, std::ptrdiff_t depth, std::ptrdiff_t columns, bool nan) {
  const double unit = 64 * static_cast<double>(std::numeric_limits<T>::epsilon());
  RandomNumbers random(3);
  Chunk<T> x(depth, random), y(depth, random), z(columns, random), out(columns), back(columns);
  std::vector<T> panel(static_cast<std::size_t>(padded<T>(depth) * chunk_rows));
  std::vector<T> memory(static_cast<std::size_t>(chunk_rows * chunk_rows));
  std::vector<T> shifts(static_cast<std::size_t>(chunk_rows));
  for (T& shift : shifts) shift = static_cast<T>(random.between(-1, 1));
  const Matrix<T> transposed = transpose_chunk(count, y.rows(), panel.data());
  check(transposed.stride == padded<T>(count), "a transpose is as wide as its rows are many");
  const LowerScores<T> scores{count, {memory.data(), transposed.stride}};
  scores.compute(x.rows(), depth, transposed, shifts.data());
  const std::ptrdiff_t bad = count / 2;
  if (nan) z.at(bad, 0) = std::numeric_limits<T>::quiet_NaN();
  scores.add_to_queries(z.rows(), out.rows());
  scores.add_to_keys(z.rows(), back.rows());
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    long double row_sum = 0;
    for (std::ptrdiff_t j = 0; j <= i; ++j) {
      long double exact = shifts[static_cast<std::size_t>(i)];
      for (std::ptrdiff_t d = 0; d < depth; ++d) {
        exact += static_cast<long double>(x.at(i, d)) * y.at(j, d);
      }
      close(scores.scores.row(i)[j], static_cast<double>(exact), unit * static_cast<double>(depth),
            "a score");
      row_sum += scores.scores.row(i)[j];
    }
    close(scores.row_sum(i), static_cast<double>(row_sum),
          unit * static_cast<double>(count + depth), "the sum of a row");
    for (std::ptrdiff_t c = 0; c < columns; ++c) {
      long double of_query = 0, of_key = 0;
      for (std::ptrdiff_t j = 0; j < count; ++j) {
        if (j <= i) of_query += static_cast<long double>(scores.scores.row(i)[j]) * z.at(j, c);
        if (j >= i) of_key += static_cast<long double>(scores.scores.row(j)[i]) * z.at(j, c);
      }
      const bool hit = nan && c == 0;
      const double tolerance = unit * static_cast<double>(count * depth);
      if (hit && bad <= i) {
        check(std::isnan(out.at(i, c)), "NaN reaches the rows that see it");
      } else {
        close(out.at(i, c), static_cast<double>(of_query), tolerance, "a sum over earlier rows");
      }
      if (hit && bad >= i) {
        check(std::isnan(back.at(i, c)), "NaN reaches the rows that it sees");
      } else {
        close(back.at(i, c), static_cast<double>(of_key), tolerance, "a sum over later rows");
      }
    }
  }
}

template <class T>
void products(std::ptrdiff_t count, std::ptrdiff_t depth, std::ptrdiff_t columns) {
  const double tolerance = 64 * static_cast<double>(std::numeric_limits<T>::epsilon()) *
                           static_cast<double>(count + depth);
  RandomNumbers random(4);
  Chunk<T> x(depth, random), y(columns, random), product(columns);
  Chunk<T> sum(columns, depth), total(depth, 1), weighted(depth, 1);
  add_outer(count, x.rows(), depth, y.rows(), sum.rows());
  add_rows<T>(count, x.rows(), nullptr, total.elements.data());
  add_rows<T>(count, x.rows(), y.elements.data(), weighted.elements.data());
  multiply_rows(count, x.rows(), depth, sum.rows(), product.rows());
  for (std::ptrdiff_t d = 0; d < depth; ++d) {
    long double plain = 0, by_factor = 0;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      plain += x.at(i, d);
      by_factor += static_cast<long double>(x.at(i, d)) * y.elements[static_cast<std::size_t>(i)];
    }
    close(total.at(0, d), static_cast<double>(plain), tolerance, "the sum of rows");
    close(weighted.at(0, d), static_cast<double>(by_factor), tolerance, "the weighted sum of rows");
    for (std::ptrdiff_t c = 0; c < columns; ++c) {
      long double exact = 0;
      for (std::ptrdiff_t i = 0; i < count; ++i) {
        exact += static_cast<long double>(x.at(i, d)) * y.at(i, c);
      }
      close(sum.at(d, c), static_cast<double>(exact), tolerance, "xᵀ y");
    }
  }
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    for (std::ptrdiff_t c = 0; c < columns; ++c) {
      long double exact = 0;
      for (std::ptrdiff_t d = 0; d < depth; ++d) {
        exact += static_cast<long double>(x.at(i, d)) * sum.at(d, c);
      }
      close(product.at(i, c), static_cast<double>(exact), 16 * tolerance, "x m");
    }
  }
}

template <class T>
void everything() {
  for (const std::ptrdiff_t count : {1, 2, 7, 15, 16, 17, 31, 33, 48, 63, 64}) {
    for (const std::ptrdiff_t depth : {1, 3, 8, 17, 64}) {
      const std::ptrdiff_t columns = (depth * 7 + count) % 40 + 1;
      products<T>(count, depth, columns);
      for (const bool nan : {false, true}) lower_scores<T>(count, depth, columns, nan);
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<float>();
  everything<double>();
  return summary();
}
