// Layer norm and RMS norm, forward and backward, against plain loops in double.
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "layers/norm.hpp"
#include "linear/gapped_matrix.hpp"

namespace heedful {
namespace {

constexpr double epsilon = 1e-3;

// With or without a mean (layer norm, RMS norm), with or without weight and bias.
struct Kind {
  bool mean, scaled;
};

template <class T>
struct Example {
  Kind kind;
  GappedMatrix<T> x, dy, y, dx, weight, bias, mean, rstd, dweight, dbias;

  Example(std::ptrdiff_t rows, std::ptrdiff_t columns, Kind kind_)
      : kind(kind_),
        x(rows, columns, 1),
        dy(rows, columns, 2, 1),
        y(rows, columns, 3, 5),
        dx(rows, columns, 4, 2),
        weight(1, columns, 5),
        bias(1, columns, 6),
        mean(1, rows, 7),
        rstd(1, rows, 8),
        dweight(1, columns, 9),
        dbias(1, columns, 10) {}

  Norm<T> norm() const {
    return {x.rows, x.columns, kind.scaled ? weight.data.data() : nullptr, T(epsilon)};
  }
  Matrix<const T> of(const GappedMatrix<T>& matrix) const {
    return {matrix.data.data(), matrix.stride};
  }
  void compute(int threads) {
    T* const means = kind.mean ? mean.data.data() : nullptr;
    norm_forward<T>(norm(), of(x), kind.scaled ? bias.data.data() : nullptr, y.view(), means,
                    rstd.data.data(), Team{threads});
    norm_backward<T>(norm(), of(dy), of(x), means, rstd.data.data(), dx.view(),
                     kind.scaled ? dweight.data.data() : nullptr,
                     kind.scaled ? dbias.data.data() : nullptr, Team{threads});
  }
  bool same_rows(const Example& other, std::ptrdiff_t row) const {
    bool same =
        rstd.at(0, row) == other.rstd.at(0, row) && mean.at(0, row) == other.mean.at(0, row);
    for (std::ptrdiff_t column = 0; column < x.columns; ++column) {
      same &= y.at(row, column) == other.y.at(row, column) &&
              dx.at(row, column) == other.dx.at(row, column);
    }
    return same;
  }
};

// A row of x, normalized.
struct Row {
  double mean = 0, rstd = 0;
  std::vector<double> unit;

  template <class T>
  Row(const Example<T>& example, std::ptrdiff_t row) {
    const std::ptrdiff_t columns = example.x.columns;
    const double count = static_cast<double>(columns);
    for (std::ptrdiff_t k = 0; k < columns && example.kind.mean; ++k) {
      mean += example.x.at(row, k) / count;
    }
    double squares = 0;
    for (std::ptrdiff_t k = 0; k < columns; ++k) {
      squares += (example.x.at(row, k) - mean) * (example.x.at(row, k) - mean);
    }
    rstd = 1 / std::sqrt(squares / count + epsilon);
    for (std::ptrdiff_t k = 0; k < columns; ++k)
      unit.push_back((example.x.at(row, k) - mean) * rstd);
  }
};

template <class T>
void is_right(std::ptrdiff_t rows, std::ptrdiff_t columns, Kind kind) {
  Example<T> example(rows, columns, kind);
  const GappedMatrix<T> weights = example.dweight, biases = example.dbias;
  example.compute(1);
  const double unit = std::numeric_limits<T>::epsilon(), count = static_cast<double>(columns);
  std::vector<Sum> dweight(static_cast<std::size_t>(columns)), dbias = dweight;
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    const Row exact(example, row);
    const double allowed = 16 * unit * (1 + exact.rstd);
    if (kind.mean) close(example.mean.at(0, row), exact.mean, 2 * unit, "the mean");
    close(example.rstd.at(0, row), exact.rstd, allowed * exact.rstd,
          "the reciprocal of the deviation");
    double level = 0, slope = 0;
    const auto upstream = [&](std::ptrdiff_t k) {
      return example.dy.at(row, k) * (kind.scaled ? double{example.weight.at(0, k)} : 1);
    };
    for (std::ptrdiff_t k = 0; k < columns; ++k) {
      const double normal = exact.unit[static_cast<std::size_t>(k)];
      level += kind.mean ? upstream(k) / count : 0;
      slope += upstream(k) * normal / count;
      dweight[static_cast<std::size_t>(k)].add(example.dy.at(row, k), normal);
      dbias[static_cast<std::size_t>(k)].add(example.dy.at(row, k), 1);
    }
    for (std::ptrdiff_t k = 0; k < columns; ++k) {
      const double normal = exact.unit[static_cast<std::size_t>(k)];
      double value = normal;
      if (kind.scaled) value = normal * example.weight.at(0, k) + example.bias.at(0, k);
      close(example.y.at(row, k), value, allowed * (1 + std::abs(normal)), "y");
      const double gradient = exact.rstd * (upstream(k) - level - normal * slope);
      close(example.dx.at(row, k), gradient, allowed * exact.rstd * (2 + normal * normal), "dx");
    }
  }
  for (std::ptrdiff_t k = 0; k < columns; ++k) {
    const Sum &weight = dweight[static_cast<std::size_t>(k)],
              &bias = dbias[static_cast<std::size_t>(k)];
    const double start = weights.at(0, k), start_of_bias = biases.at(0, k);
    const double allowed = 16 / std::sqrt(epsilon);  // a bound of rstd
    close(example.dweight.at(0, k), start + (kind.scaled ? weight.value : 0),
          allowed * rounding<T>(weight, rows), "the gradient is added to dweight");
    close(example.dbias.at(0, k), start_of_bias + (kind.scaled ? bias.value : 0),
          4 * rounding<T>(bias, rows), "the gradient is added to dbias");
  }
  check(example.y.gaps_are_untouched() && example.dx.gaps_are_untouched() &&
            example.mean.gaps_are_untouched() && example.rstd.gaps_are_untouched() &&
            example.dweight.gaps_are_untouched() && example.dbias.gaps_are_untouched(),
        "nothing between the rows is written");
}

constexpr Kind kinds[] = {{true, true}, {true, false}, {false, true}, {false, false}};

template <class T>
void outputs_may_be_inputs() {
  for (const Kind kind : kinds) {
    Example<T> apart(19, 37, kind), in_place(19, 37, kind);
    apart.compute(1);
    T* const means = kind.mean ? in_place.mean.data.data() : nullptr;
    norm_forward<T>(in_place.norm(), in_place.of(in_place.x),
                    kind.scaled ? in_place.bias.data.data() : nullptr, in_place.x.view(), means,
                    in_place.rstd.data.data(), Team{1});
    norm_backward<T>(in_place.norm(), in_place.of(in_place.dy), apart.of(apart.x), means,
                     in_place.rstd.data.data(), in_place.dy.view(),
                     kind.scaled ? in_place.dweight.data.data() : nullptr,
                     kind.scaled ? in_place.dbias.data.data() : nullptr, Team{1});
    in_place.y = in_place.x;
    in_place.dx = in_place.dy;
    for (std::ptrdiff_t row = 0; row < 19; ++row) {
      check(in_place.same_rows(apart, row), "y may be x, dx may be dy");
    }
  }
}

template <class T>
void threads_change_nothing() {
  for (const Kind kind : kinds) {
    Example<T> alone(1031, 67, kind);
    alone.compute(1);
    for (const int threads : {2, 3}) {
      Example<T> together(1031, 67, kind);
      together.compute(threads);
      bool same = true;
      for (std::ptrdiff_t row = 0; row < 1031; ++row) same &= together.same_rows(alone, row);
      for (std::ptrdiff_t k = 0; k < 67; ++k) {
        same &= together.dweight.at(0, k) == alone.dweight.at(0, k) &&
                together.dbias.at(0, k) == alone.dbias.at(0, k);
      }
      check(same, "the same bits for any number of threads");
    }
  }
}

template <class T>
void nan_stays_in_its_row() {
  for (const Kind kind : kinds) {
    for (const std::ptrdiff_t place : {0, 15, 16, 18}) {
      Example<T> example(5, 19, kind), clean(5, 19, kind);
      example.x.at(2, place) = std::numeric_limits<T>::quiet_NaN();
      example.compute(1);
      clean.compute(1);
      for (std::ptrdiff_t column = 0; column < 19; ++column) {
        check(std::isnan(example.y.at(2, column)) && std::isnan(example.dx.at(2, column)),
              "a row with NaN is NaN");
      }
      for (const std::ptrdiff_t row : {0, 1, 3, 4}) {
        check(example.same_rows(clean, row), "other rows are not affected");
      }
    }
  }
}

template <class T>
void everything() {
  for (const Kind kind : kinds) {
    for (std::ptrdiff_t columns = 1; columns <= 70; ++columns) is_right<T>(7, columns, kind);
    for (const std::ptrdiff_t columns : {97, 1031}) is_right<T>(3, columns, kind);
    for (const std::ptrdiff_t rows : {0, 1, 33, 1031}) is_right<T>(rows, 19, kind);
  }
  outputs_may_be_inputs<T>();
  threads_change_nothing<T>();
  nan_stays_in_its_row<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<float>();
  everything<double>();
  return summary();
}
