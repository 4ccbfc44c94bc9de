// Softmax cross-entropy and its gradient against plain loops in double.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "layers/cross_entropy.hpp"
#include "linear/gapped_matrix.hpp"

namespace heedful {
namespace {

constexpr std::int64_t ignored = -100;
constexpr double factor = 0.25;

template <class T>
struct Example {
  T smoothing;
  GappedMatrix<T> logits, dlogits;
  std::vector<T> losses;
  std::vector<std::int64_t> labels;

  Example(std::ptrdiff_t rows, std::ptrdiff_t classes, double smoothing_, double scale = 5)
      : smoothing(static_cast<T>(smoothing_)),
        logits(rows, classes, 1),
        dlogits(rows, classes, 2, 5),
        losses(static_cast<std::size_t>(rows) + 1, T(99)) {
    RandomNumbers random(3);
    for (T& logit : logits.data) logit *= static_cast<T>(scale);
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      const auto label = static_cast<std::int64_t>(random.bits() % std::uint64_t(classes));
      labels.push_back(row % 7 == 3 ? ignored : label);
    }
  }

  CrossEntropy<T> problem() const {
    return {logits.rows, logits.columns, labels.data(), ignored, smoothing, T(factor)};
  }
  Matrix<const T> given() const { return logits.view(); }
  void compute(int threads) {
    cross_entropy<T>(problem(), given(), losses.data(), dlogits.view(), Team{threads});
  }
  std::int64_t label(std::ptrdiff_t row) const { return labels[static_cast<std::size_t>(row)]; }
  double loss(std::ptrdiff_t row) const { return losses[static_cast<std::size_t>(row)]; }

  // Rows of losses and gradients have the same bits.
  bool same_row(const Example& other, std::ptrdiff_t row) const {
    bool same =
        losses[static_cast<std::size_t>(row)] == other.losses[static_cast<std::size_t>(row)];
    for (std::ptrdiff_t column = 0; column < logits.columns; ++column) {
      same &= dlogits.at(row, column) == other.dlogits.at(row, column);
    }
    return same;
  }
};

template <class T>
void row_is_right(const Example<T>& example, std::ptrdiff_t row) {
  const std::ptrdiff_t classes = example.logits.columns;
  const double unit = std::numeric_limits<T>::epsilon(), smoothing = example.smoothing;
  const std::int64_t label = example.label(row);
  double maximum = -std::numeric_limits<double>::infinity(), sum = 0, mean = 0;
  for (std::ptrdiff_t k = 0; k < classes; ++k) {
    maximum = std::max<double>(maximum, example.logits.at(row, k));
  }
  for (std::ptrdiff_t k = 0; k < classes; ++k) {
    sum += std::exp(example.logits.at(row, k) - maximum);
    mean += (example.logits.at(row, k) - maximum) / static_cast<double>(classes);
  }
  const bool counts = label != ignored;
  double loss = 0;
  if (counts) {
    loss = std::log(sum) - (1 - smoothing) * (example.logits.at(row, label) - maximum) -
           smoothing * mean;
  }
  close(example.loss(row), loss, 16 * unit * (1 + std::abs(loss)), "the loss");
  for (std::ptrdiff_t k = 0; k < classes; ++k) {
    double gradient = std::exp(example.logits.at(row, k) - maximum) / sum;
    gradient -= smoothing / static_cast<double>(classes) + (k == label ? 1 - smoothing : 0);
    close(example.dlogits.at(row, k), counts ? factor * gradient : 0, 4 * unit, "the gradient");
  }
}

template <class T>
void is_right(std::ptrdiff_t rows, std::ptrdiff_t classes, double smoothing) {
  Example<T> example(rows, classes, smoothing);
  example.compute(1);
  for (std::ptrdiff_t row = 0; row < rows; ++row) row_is_right(example, row);
  check(example.dlogits.gaps_are_untouched() && example.losses.back() == T(99),
        "nothing besides the results is written");

  Example<T> alone(rows, classes, smoothing), in_place(rows, classes, smoothing);
  cross_entropy<T>(alone.problem(), alone.given(), alone.losses.data(), {}, Team{1});
  check(alone.losses == example.losses, "the same losses without a gradient");
  cross_entropy<T>(in_place.problem(), in_place.given(), in_place.losses.data(),
                   in_place.logits.view(), Team{1});
  in_place.dlogits = in_place.logits;
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    check(in_place.same_row(example, row), "dlogits may be logits");
  }
}

template <class T>
void threads_change_nothing() {
  for (const auto& [rows, classes] : {std::pair<int, int>{1031, 33}, {3, 30011}, {20011, 2}}) {
    Example<T> alone(rows, classes, 0.1);
    alone.compute(1);
    for (const int threads : {2, 3}) {
      Example<T> together(rows, classes, 0.1);
      together.compute(threads);
      bool same = true;
      for (std::ptrdiff_t row = 0; row < rows; ++row) same &= together.same_row(alone, row);
      check(same, "the same bits for any number of threads");
    }
  }
}

template <class T>
void nan_stays_in_its_row() {
  for (const std::ptrdiff_t place : {0, 15, 16, 18}) {
    Example<T> example(6, 19, 0.1), clean(6, 19, 0.1);
    example.logits.at(2, place) = std::numeric_limits<T>::quiet_NaN();
    example.logits.at(3, place) = std::numeric_limits<T>::quiet_NaN();  // ignored
    example.compute(1);
    clean.compute(1);
    check(std::isnan(example.loss(2)), "the loss of a row with NaN is NaN");
    for (std::ptrdiff_t column = 0; column < 19; ++column) {
      check(std::isnan(example.dlogits.at(2, column)), "and so is its gradient");
    }
    for (const std::ptrdiff_t row : {0, 1, 3, 4, 5}) {
      check(example.same_row(clean, row), "other rows, and ignored ones, are not affected");
    }
  }
}

template <class T>
void large_logits_do_not_overflow() {
  Example<T> example(5, 19, 0.0, 1e4);
  example.compute(1);
  for (std::ptrdiff_t row = 0; row < 5; ++row) row_is_right(example, row);
}

template <class T>
void everything() {
  for (const double smoothing : {0.0, 0.125}) {
    for (std::ptrdiff_t classes = 1; classes <= 70; ++classes) is_right<T>(9, classes, smoothing);
    for (const std::ptrdiff_t rows : {0, 1, 1031}) is_right<T>(rows, 97, smoothing);
    is_right<T>(2, 1031, smoothing);
  }
  threads_change_nothing<T>();
  nan_stays_in_its_row<T>();
  large_logits_do_not_overflow<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<float>();
  everything<double>();
  return summary();
}
