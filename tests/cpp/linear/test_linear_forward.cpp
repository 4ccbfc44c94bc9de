// A dense layer against a plain double loop: all three algorithms, every size of remainder, every
// part of the epilogue.
#include <vector>

#include "check.hpp"
#include "linear/gapped_matrix.hpp"
#include "linear/linear_forward.hpp"

namespace heedful {
namespace {

struct Parts {
  bool bias, residual, before, in_place;
  Activation activation;
};

constexpr Parts plain{false, false, false, false, Activation::none};
constexpr Parts all_parts[] = {plain,
                               {true, false, false, false, Activation::none},
                               {false, true, false, false, Activation::none},
                               {true, true, false, true, Activation::none},
                               {false, false, true, false, Activation::none},
                               {true, false, false, false, Activation::tanh},
                               {true, true, false, false, Activation::relu},
                               {false, true, false, true, Activation::sigmoid},
                               {true, true, true, false, Activation::gelu},
                               {false, true, true, true, Activation::silu}};

template <class T>
double activated(Activation kind, double x) {
  double y;
  activate(kind, &x, &y, 1);
  return y;
}

template <class T>
struct Example {
  LinearSizes sizes;
  Parts parts;
  GappedMatrix<T> x, weight, bias, residual, before, y;

  Example(const LinearSizes& given, const Parts& which)
      : sizes(given),
        parts(which),
        x(given.rows, given.inputs, 1),
        weight(given.outputs, given.inputs, 2, 5),
        bias(1, given.outputs, 3),
        residual(given.rows, given.outputs, 4, 2),
        before(given.rows, given.outputs, 5, 1),
        y(parts.in_place ? residual : GappedMatrix<T>(given.rows, given.outputs, 6, 7)) {}

  void run(int threads) {
    const Epilogue<T> epilogue{
        parts.bias ? bias.data.data() : nullptr,
        !parts.residual ? Matrix<const T>{}
                        : Matrix<const T>{parts.in_place ? y.data.data() : residual.data.data(),
                                          parts.in_place ? y.stride : residual.stride},
        parts.activation, parts.before ? before.view() : Matrix<T>{}, y.view()};
    linear_forward<T>(sizes, {x.data.data(), x.stride}, {weight.data.data(), weight.stride},
                      epilogue, Team{threads});
  }

  void expect_right(std::ptrdiff_t step = 1) const {
    for (std::ptrdiff_t row = 0; row < sizes.rows; row += step) {
      for (std::ptrdiff_t output = 0; output < sizes.outputs; ++output) {
        Sum sum;
        for (std::ptrdiff_t k = 0; k < sizes.inputs; ++k)
          sum.add(x.at(row, k), weight.at(output, k));
        if (parts.bias) sum.add(bias.at(0, output), 1);
        const double tolerance = 2 * rounding<T>(sum, sizes.inputs);
        if (parts.before) close(before.at(row, output), sum.value, tolerance, "before");
        double expected = activated<T>(parts.activation, sum.value);
        if (parts.residual) expected += residual.at(row, output);
        close(y.at(row, output), expected, tolerance, "y");
      }
    }
    check(y.gaps_are_untouched() && before.gaps_are_untouched(), "nothing between rows is written");
  }
};

template <class T>
void every_part_of_every_algorithm() {
  // few, some and many rows, with more than one depth block
  for (const LinearSizes& sizes : {LinearSizes{3, 401, 97}, {41, 401, 97}, {97, 401, 33}}) {
    for (const Parts& parts : all_parts) {
      Example<T> example(sizes, parts);
      example.run(1);
      example.expect_right();
    }
  }
}

template <class T>
void every_remainder() {
  const std::ptrdiff_t sizes[] = {1, 2, 3, 5, 7, 8, 9, 17, 97};
  for (const std::ptrdiff_t rows : sizes) {
    for (const std::ptrdiff_t inputs : {0, 1, 3, 7, 16, 19, 97}) {
      for (const std::ptrdiff_t outputs : sizes) {
        Example<T> example({rows, inputs, outputs}, all_parts[6]);
        example.run(1);
        example.expect_right();
      }
    }
  }
}

template <class T>
void more_than_one_task() {
  for (const LinearSizes& sizes : {LinearSizes{1025, 97, 67},
                                   {7, 97, 1025},
                                   {403, 7, 1025},
                                   {130, 259, 401},
                                   {300, 530, 301},
                                   {300, 0, 301}}) {
    Example<T> alone(sizes, all_parts[8]);
    alone.run(1);
    alone.expect_right();
    for (const int threads : {2, 3}) {
      Example<T> together(sizes, all_parts[8]);
      together.run(threads);
      bool same = true;
      for (std::ptrdiff_t row = 0; row < sizes.rows; ++row) {
        for (std::ptrdiff_t output = 0; output < sizes.outputs; ++output) {
          same &= together.y.at(row, output) == alone.y.at(row, output) &&
                  together.before.at(row, output) == alone.before.at(row, output);
        }
      }
      check(same, "the same bits for any number of threads");
    }
  }
}

// Weights this large are packed one group of outputs at a time, or one depth slice: the epilogue
// runs after the last one.
template <class T>
void large_weight() {
  for (const Parts& parts : {all_parts[3], all_parts[8]}) {
    for (const LinearSizes& sizes : {LinearSizes{900, 3100, 1024}, {400, 9000, 360}}) {
      Example<T> example(sizes, parts);
      example.run(1);
      example.expect_right(233);
    }
  }
}

template <class T>
void nan_stays_in_its_row() {
  for (const std::ptrdiff_t rows : {5, 41, 403}) {
    Example<T> example({rows, 53, 61}, plain);
    example.x.at(2, 52) = std::numeric_limits<T>::quiet_NaN();
    example.run(1);
    bool right = true;
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      for (std::ptrdiff_t output = 0; output < 61; ++output) {
        right &= std::isnan(example.y.at(row, output)) == (row == 2);
      }
    }
    check(right, "a NaN in x reaches its own row of y, and no other");
  }
}

template <class T>
void empty_shapes_write_nothing() {
  for (const LinearSizes& sizes : {LinearSizes{0, 5, 7}, {5, 7, 0}, {0, 0, 0}}) {
    Example<T> example(sizes, all_parts[8]);
    example.run(2);
    check(example.y.gaps_are_untouched(), "no rows or no outputs: nothing is written");
  }
}

template <class T>
void everything() {
  every_part_of_every_algorithm<T>();
  every_remainder<T>();
  more_than_one_task<T>();
  large_weight<T>();
  nan_stays_in_its_row<T>();
  empty_shapes_write_nothing<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<float>();
  everything<double>();
  return summary();
}
