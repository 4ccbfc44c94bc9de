// Gated activations against long double and its differences: widths around vectors and chunks, rows
// around tasks, dx in place of x, any number of threads.
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "layers/gated_activation.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

constexpr Activation kinds[] = {Activation::none, Activation::silu, Activation::gelu_tanh};

long double truth(Activation kind, long double x) {
  if (kind == Activation::none) return x;
  if (kind == Activation::silu) return x / (1 + std::exp(-x));
  return x / 2 *
         (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846L) * (x + 0.044715L * x * x * x)));
}

long double true_slope(Activation kind, long double x) {
  const long double step = 1e-6L;
  return (truth(kind, x + step) - truth(kind, x - step)) / (2 * step);
}

template <class T>
std::vector<T> drawn(std::ptrdiff_t count, std::uint64_t seed) {
  RandomNumbers random(seed);
  std::vector<T> values(static_cast<std::size_t>(count));
  for (T& value : values) value = static_cast<T>(random.between(-3, 3));
  return values;
}

template <class T>
void rows_are_those_of_the_equations(Activation kind, const GatedSizes& sizes, int threads) {
  const std::ptrdiff_t width = sizes.width;
  const std::vector<T> x = drawn<T>(2 * sizes.rows * width, 1),
                       dy = drawn<T>(sizes.rows * width, 2);
  std::vector<T> y(dy.size() + 1, T(99)), dx(x.size() + 1, T(99)), in_place = x;
  gated_activation_forward(kind, sizes, x.data(), y.data(), Team{threads});
  gated_activation_backward(kind, sizes, x.data(), dy.data(), dx.data(), Team{threads});
  gated_activation_backward(kind, sizes, in_place.data(), dy.data(), in_place.data(),
                            Team{threads});
  check(y.back() == T(99) && dx.back() == T(99), "nothing is written past the end");
  const double unit = 64 * std::numeric_limits<T>::epsilon() + 1e-12;
  for (std::ptrdiff_t row = 0; row < sizes.rows; ++row) {
    for (std::ptrdiff_t i = 0; i < width; ++i) {
      const auto gate = static_cast<std::size_t>(2 * row * width + i);
      const auto through = gate + static_cast<std::size_t>(width);
      const auto place = static_cast<std::size_t>(row * width + i);
      const long double opened = truth(kind, x[gate]);
      close(y[place], static_cast<double>(opened * x[through]), 10 * unit, "y");
      close(dx[through], static_cast<double>(opened * dy[place]), 10 * unit, "dx of what passes");
      close(dx[gate], static_cast<double>(true_slope(kind, x[gate]) * dy[place] * x[through]),
            10 * unit + 1e-8, "dx of the gate");
      check(in_place[gate] == dx[gate] && in_place[through] == dx[through], "dx may be x");
    }
  }
}

template <class T>
void everything() {
  for (const Activation kind : kinds) {
    for (const std::ptrdiff_t width : {1, 7, 8, 97, 1023, 1025, 2500}) {
      for (const std::ptrdiff_t rows : {1, 3, 11}) {
        rows_are_those_of_the_equations<T>(kind, {rows, width}, 1);
      }
    }
    rows_are_those_of_the_equations<T>(kind, {37, 1030}, 3);
    rows_are_those_of_the_equations<T>(kind, {0, 5}, 1);
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
