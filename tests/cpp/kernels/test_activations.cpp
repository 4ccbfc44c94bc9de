// Activations and their derivatives against long double and differences of it, in every length of
// a run, in place and on threads.
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "kernels/activations.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

constexpr Activation kinds[] = {Activation::none,      Activation::relu, Activation::gelu,
                                Activation::gelu_tanh, Activation::silu, Activation::tanh,
                                Activation::sigmoid};

long double truth(Activation kind, long double x) {
  switch (kind) {
    case Activation::none:
      return x;
    case Activation::relu:
      return x > 0 ? x : 0;
    case Activation::gelu:
      return x * std::erfc(-x / std::sqrt(2.0L)) / 2;
    case Activation::gelu_tanh:
      return x / 2 *
             (1 + std::tanh(std::sqrt(2 / 3.14159265358979323846L) * (x + 0.044715L * x * x * x)));
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
  }
  return 0;
}

long double true_slope(Activation kind, long double x) {
  const long double step = 1e-6L;
  return (truth(kind, x + step) - truth(kind, x - step)) / (2 * step);
}

template <class T>
std::vector<T> random_values(std::ptrdiff_t count, double low, double high) {
  RandomNumbers random(11);
  std::vector<T> drawn(static_cast<std::size_t>(count));
  for (T& value : drawn) value = static_cast<T>(random.between(low, high));
  return drawn;
}

template <class T>
void values_and_derivatives_are_right() {
  const double unit = std::numeric_limits<T>::epsilon();
  for (const Activation kind : kinds) {
    for (const std::ptrdiff_t count : {1, 3, 5, 7, 97, 1025}) {
      const std::vector<T> x = random_values<T>(count, -6, 6), dy = random_values<T>(count, -2, 2);
      std::vector<T> y(x.size() + 1, T(99)), dx(x.size() + 1, T(99));
      activate(kind, x.data(), y.data(), count);
      activation_gradient(kind, x.data(), dy.data(), dx.data(), count);
      for (std::size_t i = 0; i < x.size(); ++i) {
        const long double at = x[i];
        const auto value = static_cast<double>(truth(kind, at));
        close(y[i], value, 4 * unit * std::abs(value) + 2 * unit, "the value");
        close(dx[i], static_cast<double>(true_slope(kind, at) * dy[i]), 12 * unit + 1e-11,
              "the gradient");
      }
      check(y.back() == T(99) && dx.back() == T(99), "nothing is written past the end");
    }
  }
}

template <class T>
void in_place_is_the_same() {
  for (const Activation kind : kinds) {
    const std::vector<T> x = random_values<T>(97, -6, 6), dy = random_values<T>(97, -2, 2);
    std::vector<T> y = x, apart = x, dx = dy, other = dy;
    activate(kind, x.data(), apart.data(), 97);
    activate(kind, y.data(), y.data(), 97);
    check(y == apart, "y may be x");
    activation_gradient(kind, x.data(), dy.data(), other.data(), 97);
    activation_gradient(kind, x.data(), dx.data(), dx.data(), 97);
    check(dx == other, "dx may be dy");
  }
}

template <class T>
void threads_change_nothing() {
  for (const std::ptrdiff_t count : {0, 1, 50001, 100003}) {
    const std::vector<T> x = random_values<T>(count, -6, 6);
    std::vector<T> one = x, many = x;
    activation_forward(Activation::gelu, x.data(), one.data(), count, Team{1});
    activation_backward(Activation::silu, x.data(), one.data(), one.data(), count, Team{1});
    activation_forward(Activation::gelu, x.data(), many.data(), count, Team{3});
    activation_backward(Activation::silu, x.data(), many.data(), many.data(), count, Team{3});
    check(one == many, "the same bits for three threads");
  }
}

template <class T>
void nan_stays_nan() {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (const Activation kind : kinds) {
    for (int place : {0, 15, 16}) {
      std::vector<T> x(17, T(1)), y(17), ones(17, T(1));
      x[static_cast<std::size_t>(place)] = nan;
      activate(kind, x.data(), y.data(), 17);
      for (int i = 0; i < 17; ++i) {
        check(std::isnan(y[static_cast<std::size_t>(i)]) == (i == place), "NaN stays in its place");
      }
      ones[static_cast<std::size_t>(place)] = nan;
      activation_gradient(kind, x.data(), ones.data(), y.data(), 17);
      check(std::isnan(y[static_cast<std::size_t>(place)]), "a gradient that is NaN stays NaN");
    }
  }
}

template <class T>
void far_out_gradients_are_finite() {
  for (const Activation kind : kinds) {
    for (const T x : {T(-1000), T(-100), T(100), T(1000)}) {
      const T one = 1;
      T y, dx;
      activate(kind, &x, &y, 1);
      activation_gradient(kind, &x, &one, &dx, 1);
      close(y, static_cast<double>(truth(kind, x)), 1e-4, "the value far out");
      close(dx,
            x > 0 ? (kind == Activation::tanh || kind == Activation::sigmoid ? 0 : 1)
                  : (kind == Activation::none ? 1 : 0),
            1e-6, "the slope far out");
    }
  }
}

template <class T>
void everything() {
  values_and_derivatives_are_right<T>();
  in_place_is_the_same<T>();
  threads_change_nothing<T>();
  nan_stays_nan<T>();
  far_out_gradients_are_finite<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<float>();
  everything<double>();
  return summary();
}
