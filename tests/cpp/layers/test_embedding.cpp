// The gradient of a table of vectors against a plain loop, with values whose sums are exact.
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "layers/embedding.hpp"
#include "linear/gapped_matrix.hpp"

namespace heedful {
namespace {

constexpr std::int64_t vocabulary = 11, ignored = 4;

template <class T>
struct Example {
  GappedMatrix<T> dy, dtable;
  std::vector<std::int64_t> ids;

  Example(std::ptrdiff_t rows, std::ptrdiff_t columns)
      : dy(rows, columns, 1), dtable(vocabulary, columns, 2, 5) {
    RandomNumbers random(3);
    for (GappedMatrix<T>* const matrix : {&dy, &dtable}) {
      for (std::ptrdiff_t row = 0; row < matrix->rows; ++row) {
        for (std::ptrdiff_t column = 0; column < columns; ++column) {
          matrix->at(row, column) = static_cast<T>(random.exact());
        }
      }
    }
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      ids.push_back(static_cast<std::int64_t>(random.bits() % vocabulary));
    }
  }

  void add(int threads) {
    embedding_gradient<T>(dy.rows, dy.columns, {dy.data.data(), dy.stride}, ids.data(), ignored,
                          dtable.view(), Team{threads});
  }
};

template <class T>
void is_right(std::ptrdiff_t rows, std::ptrdiff_t columns) {
  for (const int threads : {1, 2, 3}) {
    Example<T> example(rows, columns);
    std::vector<double> expected;
    for (std::ptrdiff_t id = 0; id < vocabulary; ++id) {
      for (std::ptrdiff_t column = 0; column < columns; ++column) {
        double sum = example.dtable.at(id, column);
        for (std::ptrdiff_t row = 0; row < rows; ++row) {
          const bool counts = example.ids[static_cast<std::size_t>(row)] == id && id != ignored;
          if (counts) sum += example.dy.at(row, column);
        }
        expected.push_back(sum);
      }
    }
    example.add(threads);
    bool right = true;
    for (std::ptrdiff_t id = 0; id < vocabulary; ++id) {
      for (std::ptrdiff_t column = 0; column < columns; ++column) {
        right &= example.dtable.at(id, column) ==
                 expected[static_cast<std::size_t>(id * columns + column)];
      }
    }
    check(right, "every vector has the sum of its rows, the ignored one none");
    check(example.dtable.gaps_are_untouched(), "nothing between the rows is written");
  }
}

template <class T>
void rows_are_added_in_their_order() {
  Example<T> alone(1031, 97);
  RandomNumbers random(9);
  for (T& value : alone.dy.data) value = static_cast<T>(random.between(-1, 1));
  Example<T> together = alone;
  GappedMatrix<T> expected = alone.dtable;
  for (std::ptrdiff_t row = 0; row < alone.dy.rows; ++row) {
    const std::int64_t id = alone.ids[static_cast<std::size_t>(row)];
    for (std::ptrdiff_t column = 0; column < 97 && id != ignored; ++column) {
      expected.at(id, column) += alone.dy.at(row, column);
    }
  }
  alone.add(1);
  together.add(3);
  bool same = true;
  for (std::ptrdiff_t id = 0; id < vocabulary; ++id) {
    for (std::ptrdiff_t column = 0; column < 97; ++column) {
      same &= alone.dtable.at(id, column) == expected.at(id, column) &&
              together.dtable.at(id, column) == expected.at(id, column);
    }
  }
  check(same, "the same bits as one row after another, for any number of threads");
}

template <class T>
void nan_stays_with_its_vector() {
  Example<T> example(97, 19);
  example.dy.at(5, 17) = std::numeric_limits<T>::quiet_NaN();
  example.ids[5] = 7;
  example.add(1);
  for (std::ptrdiff_t id = 0; id < vocabulary; ++id) {
    for (std::ptrdiff_t column = 0; column < 19; ++column) {
      check(std::isnan(example.dtable.at(id, column)) == (id == 7 && column == 17),
            "NaN stays in its element");
    }
  }
}

template <class T>
void everything() {
  for (std::ptrdiff_t columns = 0; columns <= 35; ++columns) is_right<T>(97, columns);
  for (const std::ptrdiff_t rows : {0, 1, 1031}) is_right<T>(rows, 131);
  rows_are_added_in_their_order<T>();
  nan_stays_with_its_vector<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<float>();
  everything<double>();
  return summary();
}
