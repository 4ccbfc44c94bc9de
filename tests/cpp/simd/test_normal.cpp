// e^x, the normal distribution, the sigmoid and tanh: their errors against long double, and their
// limits.
#include <cmath>
#include <cstdio>
#include <limits>

#include "check.hpp"
#include "random_numbers.hpp"
#include "simd/exp.hpp"
#include "simd/normal.hpp"
#include "simd/tanh.hpp"
#include "ulps.hpp"

namespace heedful {
namespace {

template <class T>
using Function = simd::Packet<T> (*)(const simd::Packet<T>&);
using Truth = long double (*)(long double);

template <class T>
simd::Packet<T> normal_share(const simd::Packet<T>& x) {
  return simd::Normal<T>(x).cdf;
}

template <class T>
T value(Function<T> function, T x) {
  T values[simd::lanes<T>];
  simd::store(values, function(simd::broadcast(x)));
  return values[simd::lanes<T> - 1];
}

// The maximum error in [low, high], in units in the last place of the true value.
template <class T>
double worst(Function<T> function, Truth truth, double low, double high) {
  RandomNumbers random(3);
  double maximum = 0;
  T x[simd::lanes<T>], values[simd::lanes<T>];
  for (int n = 0; n < 20000; ++n) {
    for (T& number : x) {
      // half of them anywhere, half of them near 0
      const double anywhere = random.between(low, high);
      number = static_cast<T>(n % 2 ? anywhere : std::ldexp(anywhere, -n % 40));
    }
    simd::store(values, function(simd::load(x)));
    for (int lane = 0; lane < simd::lanes<T>; ++lane) {
      const double error = ulps(values[lane], truth(static_cast<long double>(x[lane])));
      if (!(error <= maximum)) maximum = error;
    }
  }
  return maximum;
}

template <class T>
void is_within(const char* name, Function<T> function, Truth truth, double low, double high,
               double allowed) {
  const double error = worst<T>(function, truth, low, high);
  std::printf("%s of %zu bytes in [%g, %g]: at most %.3f ulp\n", name, sizeof(T), low, high, error);
  check(error <= allowed, name);
  check(error > 0.4, "the worst error is that of a rounded result, so it was measured");
}

long double true_exp(long double x) { return std::exp(x); }
long double true_share(long double x) {
  return std::erfc(-x * 0.70710678118654752440084436210485L) / 2;
}
long double true_sigmoid(long double x) { return 1 / (1 + std::exp(-x)); }
long double true_tanh(long double x) { return std::tanh(x); }

template <class T>
void errors_are_small() {
  const double max_exponent = std::log(static_cast<double>(std::numeric_limits<T>::max())) - 1;
  is_within<T>("exp", simd::exp<T>, true_exp, 1 - max_exponent, max_exponent, 2);
  is_within<T>("the normal distribution", normal_share<T>, true_share, -1.4, 9, 6);
  // the tail inherits the rounding error of its exponent, x² / 2: up to 12 for x = −5
  is_within<T>("its tail", normal_share<T>, true_share, -5, -1, 48);
  is_within<T>("sigmoid", simd::sigmoid<T>, true_sigmoid, -80, 80, 3);
  is_within<T>("tanh", simd::exact_tanh<T>, true_tanh, -25, 25, 2);
}

template <class T>
void limits_are_exact() {
  const T infinity = std::numeric_limits<T>::infinity();
  check(value<T>(simd::exp<T>, -infinity) == 0 && value<T>(simd::exp<T>, infinity) == infinity,
        "e^−∞ is 0 and e^∞ is ∞");
  check(value<T>(simd::exp<T>, 0) == 1, "e^0 is 1");
  check(value<T>(simd::exact_tanh<T>, infinity) == 1 && value<T>(simd::exact_tanh<T>, -1000) == -1,
        "tanh ends at ±1");
  check(value<T>(normal_share<T>, infinity) == 1 && value<T>(normal_share<T>, -infinity) == 0,
        "all is below ∞ and nothing below −∞");
  check(value<T>(simd::sigmoid<T>, infinity) == 1 && value<T>(simd::sigmoid<T>, -infinity) == 0,
        "sigmoid ends at 0 and 1");
  for (const T x : {T(-0.0), T(0)}) {
    check(value<T>(simd::exact_tanh<T>, x) == 0, "0 stays 0");
    check(std::signbit(value<T>(simd::exact_tanh<T>, x)) == std::signbit(x), "with its sign");
  }
  const T nan = std::numeric_limits<T>::quiet_NaN();
  for (const Function<T> function :
       {Function<T>(simd::exp<T>), Function<T>(normal_share<T>), Function<T>(simd::sigmoid<T>),
        Function<T>(simd::exact_tanh<T>)}) {
    check(std::isnan(value<T>(function, nan)), "NaN stays NaN");
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  errors_are_small<float>();
  errors_are_small<double>();
  limits_are_exact<float>();
  limits_are_exact<double>();
  return summary();
}
