// Gradients of a dense layer against plain double loops.
#include <vector>

#include "check.hpp"
#include "linear/gapped_matrix.hpp"
#include "linear/linear_gradients.hpp"

namespace heedful {
namespace {

template <class T>
struct Example {
  LinearSizes sizes;
  GappedMatrix<T> dy, weight, x, dx, dweight, dbias;

  explicit Example(const LinearSizes& given)
      : sizes(given),
        dy(given.rows, given.outputs, 1),
        weight(given.outputs, given.inputs, 2, 5),
        x(given.rows, given.inputs, 3, 1),
        dx(given.rows, given.inputs, 4, 2),
        dweight(given.outputs, given.inputs, 5),
        dbias(1, given.outputs, 6) {}

  Matrix<const T> of(const GappedMatrix<T>& matrix) const {
    return {matrix.data.data(), matrix.stride};
  }
  void input(bool add, int threads) {
    linear_gradient_input<T>(sizes, of(dy), of(weight), dx.view(), add, Team{threads});
  }
  void weights(bool with_bias, int threads) {
    linear_gradient_weight<T>(sizes, of(dy), of(x), dweight.view(),
                              with_bias ? dbias.data.data() : nullptr, Team{threads});
  }
};

template <class T>
void input_is_right(const LinearSizes& sizes, bool add) {
  Example<T> example(sizes);
  const GappedMatrix<T> start = example.dx;
  example.input(add, 1);
  for (std::ptrdiff_t row = 0; row < sizes.rows; ++row) {
    for (std::ptrdiff_t input = 0; input < sizes.inputs; ++input) {
      Sum sum;
      if (add) sum.add(start.at(row, input), 1);
      for (std::ptrdiff_t k = 0; k < sizes.outputs; ++k) {
        sum.add(example.dy.at(row, k), example.weight.at(k, input));
      }
      close(example.dx.at(row, input), sum.value, rounding<T>(sum, sizes.outputs), "dx");
    }
  }
  check(example.dx.gaps_are_untouched(), "nothing between the rows of dx is written");
}

template <class T>
void weight_is_right(const LinearSizes& sizes, bool with_bias) {
  Example<T> example(sizes);
  const GappedMatrix<T> start = example.dweight, bias = example.dbias;
  example.weights(with_bias, 1);
  for (std::ptrdiff_t output = 0; output < sizes.outputs; ++output) {
    for (std::ptrdiff_t input = 0; input < sizes.inputs; ++input) {
      Sum sum;
      sum.add(start.at(output, input), 1);
      for (std::ptrdiff_t k = 0; k < sizes.rows; ++k) {
        sum.add(example.dy.at(k, output), example.x.at(k, input));
      }
      close(example.dweight.at(output, input), sum.value, rounding<T>(sum, sizes.rows), "dweight");
    }
    Sum sum;
    sum.add(bias.at(0, output), 1);
    for (std::ptrdiff_t k = 0; with_bias && k < sizes.rows; ++k)
      sum.add(example.dy.at(k, output), 1);
    close(example.dbias.at(0, output), sum.value, rounding<T>(sum, sizes.rows), "dbias");
  }
  check(example.dweight.gaps_are_untouched() && example.dbias.gaps_are_untouched(),
        "nothing between the rows of dweight is written");
}

template <class T>
void every_remainder() {
  const std::ptrdiff_t sizes[] = {0, 1, 3, 7, 9, 17, 97};
  for (const std::ptrdiff_t rows : sizes) {
    for (const std::ptrdiff_t inputs : sizes) {
      for (const std::ptrdiff_t outputs : sizes) {
        input_is_right<T>({rows, inputs, outputs}, (rows + inputs) % 2 == 1);
        weight_is_right<T>({rows, inputs, outputs}, outputs % 2 == 1);
      }
    }
  }
}

template <class T>
void more_than_one_block_and_task() {
  for (const LinearSizes& sizes : {LinearSizes{1025, 97, 67},
                                   {7, 97, 1025},
                                   {403, 7, 1025},
                                   {130, 459, 401},
                                   {403, 530, 301}}) {
    input_is_right<T>(sizes, true);
    weight_is_right<T>(sizes, true);
    Example<T> alone(sizes);
    alone.input(false, 1);
    alone.weights(true, 1);
    for (const int threads : {2, 3}) {
      Example<T> together(sizes);
      together.input(false, threads);
      together.weights(true, threads);
      bool same = true;
      for (std::ptrdiff_t i = 0; i < sizes.inputs; ++i) {
        for (std::ptrdiff_t n = 0; n < sizes.rows; ++n)
          same &= together.dx.at(n, i) == alone.dx.at(n, i);
        for (std::ptrdiff_t o = 0; o < sizes.outputs; ++o) {
          same &= together.dweight.at(o, i) == alone.dweight.at(o, i) &&
                  together.dbias.at(0, o) == alone.dbias.at(0, o);
        }
      }
      check(same, "the same bits for any number of threads");
    }
  }
}

// Panels of a depth this long are packed one slice at a time.
template <class T>
void long_depth() {
  const LinearSizes sizes{80000, 40, 65};
  Example<T> example(sizes);
  const GappedMatrix<T> start = example.dweight, bias = example.dbias;
  example.weights(true, 2);
  for (const std::ptrdiff_t output : {0, 33, 64}) {
    Sum sums[40], sum;
    for (std::ptrdiff_t k = 0; k < sizes.rows; ++k) {
      for (std::ptrdiff_t i = 0; i < 40; ++i) {
        sums[i].add(example.dy.at(k, output), example.x.at(k, i));
      }
      sum.add(example.dy.at(k, output), 1);
    }
    for (std::ptrdiff_t i = 0; i < 40; ++i) {
      sums[i].add(start.at(output, i), 1);
      close(example.dweight.at(output, i), sums[i].value, rounding<T>(sums[i], sizes.rows),
            "dweight of many rows");
    }
    sum.add(bias.at(0, output), 1);
    close(example.dbias.at(0, output), sum.value, rounding<T>(sum, sizes.rows),
          "dbias of many rows");
  }
}

template <class T>
void everything() {
  every_remainder<T>();
  long_depth<T>();
  more_than_one_block_and_task<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<float>();
  everything<double>();
  return summary();
}
