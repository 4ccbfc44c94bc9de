// 2^x: its error against long double over the whole range, and its results outside of it.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

#include "check.hpp"
#include "random_numbers.hpp"
#include "simd/exp2.hpp"
#include "ulps.hpp"

namespace heedful {
namespace {

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

// Exponent of the largest power of two: 127 or 1023.
template <class T>
constexpr T bias = static_cast<T>(std::numeric_limits<T>::max_exponent - 1);

template <class T>
T power(T x) {
  T values[simd::lanes<T>];
  simd::store(values, simd::exp2<T>(simd::broadcast(x)));
  for (const T value : values) {
    check(value == values[0] || (std::isnan(value) && std::isnan(values[0])), "lanes agree");
  }
  return values[0];
}

template <class T>
struct Worst {
  double error = 0;
  T at = 0;

  void look(const T* x) {
    T values[simd::lanes<T>];
    simd::store(values, simd::exp2<T>(simd::load(x)));
    for (int lane = 0; lane < simd::lanes<T>; ++lane) {
      const double distance = ulps(values[lane], std::exp2(static_cast<long double>(x[lane])));
      if (distance <= error) continue;  // a NaN is worse than anything
      error = distance;
      at = x[lane];
    }
  }
};

template <class T>
void error_is_at_most_2_ulp(const char* name) {
  const T low = std::nextafter(-bias<T> + T(0.5), T{0});
  const T high = bias<T> + T(0.5);
  RandomNumbers random(1);
  Worst<T> worst;
  T x[simd::lanes<T>];
  for (int n = 0; n < 20000; ++n) {
    for (T& value : x) value = static_cast<T>(random.between(low, high));
    worst.look(x);
    for (T& value : x) value = static_cast<T>(random.between(-1.5, 0.5));  // where softmax lives
    worst.look(x);
    for (T& value : x) value = static_cast<T>(std::ldexp(random.between(-1, 1), -n % 60));
    worst.look(x);
  }
  // around every integer and half-integer, where the nearest integer changes
  for (T edge = -bias<T> + 1; edge <= high; edge += T(0.5)) {
    for (T& value : x) value = edge;
    x[0] = std::nextafter(edge, low);
    x[1] = std::nextafter(edge, high);
    worst.look(x);
  }
  std::printf("exp2 of %s: at most %.3f ulp, at %.9g\n", name, worst.error,
              static_cast<double>(worst.at));
  check(worst.error <= 2, "2^x is within 2 ulp");
  check(worst.error > 0.4, "the worst error is that of a rounded result, so it was measured");
}

// x is often a product, which a compiler may fuse with a subtraction: then x would not be rounded
// everywhere, and the parts of an x that is nearly an integer would not belong together.
template <class T>
void products_are_rounded_first() {
  RandomNumbers random(2);
  double worst = 0;
  T a[simd::lanes<T>], b[simd::lanes<T>], values[simd::lanes<T>];
  for (int n = 0; n < 20000; ++n) {
    for (int lane = 0; lane < simd::lanes<T>; ++lane) {
      b[lane] = static_cast<T>(random.between(0.01, 2));
      a[lane] = -static_cast<T>(n % 100) / b[lane];
    }
    simd::store(values, simd::exp2<T>(simd::multiply(simd::load(a), simd::load(b))));
    for (int lane = 0; lane < simd::lanes<T>; ++lane) {
      const volatile T x = a[lane] * b[lane];
      worst = std::max(worst, ulps(values[lane], std::exp2(static_cast<long double>(x))));
    }
  }
  check(worst <= 2, "2^(a b) is within 2 ulp of 2^x, x being a b rounded");
}

template <class T>
void whole_powers_are_exact() {
  bool exact = true;
  for (int n = -static_cast<int>(bias<T>) + 1; n <= static_cast<int>(bias<T>); ++n) {
    exact &= power(static_cast<T>(n)) == std::ldexp(T{1}, n);
  }
  check(exact, "2^n is exact, so a maximum that stays changes no sum");
}

template <class T>
void outside_its_range_it_is_0_or_infinity() {
  const T zeros[] = {-infinity<T>,     std::numeric_limits<T>::lowest(),
                     -bias<T> - 100,   -bias<T> - 1,
                     -bias<T>,         -bias<T> + T(0.25),
                     -bias<T> + T(0.5)};
  for (const T x : zeros) {
    const T value = power(x);
    check(value == 0 && !std::signbit(value), "far below, 2^x is +0");
  }
  check(power(std::nextafter(-bias<T> + T(0.5), T{0})) > 0,
        "above 1/2 − bias it is not 0 any more");
  const T between = power(std::nextafter(bias<T> + T(0.5), infinity<T>));
  check(between >= std::exp2(bias<T>), "above bias + 1/2 it is large, and may be ∞");
  for (const T x : {bias<T> + 1, bias<T> + 2, std::numeric_limits<T>::max(), infinity<T>}) {
    check(power(x) == infinity<T>, "far above, 2^x is ∞");
  }
  check(std::isfinite(power(bias<T> + T(0.5))), "up to bias + 1/2 it is finite");
}

template <class T>
void nan_stays_nan_in_its_own_lane() {
  const T nan = std::numeric_limits<T>::quiet_NaN();
  check(std::isnan(power(nan)) && std::isnan(power(-nan)), "2^NaN is NaN");
  for (int odd = 0; odd < simd::lanes<T>; ++odd) {
    T values[simd::lanes<T>];
    for (int lane = 0; lane < simd::lanes<T>; ++lane) values[lane] = lane == odd ? nan : T(-lane);
    simd::store(values, simd::exp2<T>(simd::load(values)));
    for (int lane = 0; lane < simd::lanes<T>; ++lane) {
      check(lane == odd ? std::isnan(values[lane]) : values[lane] == std::ldexp(T{1}, -lane),
            "a NaN stays in its lane");
    }
  }
}

// Of four vectors side by side: the bits of one alone.
template <class T>
void vectors_together_have_the_same_bits() {
  constexpr int width = simd::lanes<T>, count = 4;
  RandomNumbers random(3);
  const T nan = std::numeric_limits<T>::quiet_NaN();
  T x[count * width], together[count * width], alone[count * width];
  for (int n = 0; n < 5000; ++n) {
    for (T& value : x) {
      value = static_cast<T>(std::ldexp(random.between(-1, n % 2 ? 0.0 : 1.0), n % 19 - 12));
    }
    x[n % (count * width)] = n % 2 ? -infinity<T> : T(-0.0);
    x[(n + 5) % (count * width)] = n % 2 ? nan : -bias<T> + T(0.5);
    simd::Packet<T> vectors[count];
    for (int i = 0; i < count; ++i) {
      vectors[i] = simd::load(x + i * width);
      simd::store(alone + i * width, simd::exp2<T>(vectors[i]));
    }
    simd::exp2_together<T>(vectors);
    for (int i = 0; i < count; ++i) simd::store(together + i * width, vectors[i]);
    bool equal = true;
    for (int i = 0; i < count * width; ++i) {
      equal &= together[i] == alone[i] || (std::isnan(together[i]) && std::isnan(x[i]));
    }
    check(equal, "vectors side by side have the bits of one alone");
  }
}

template <class T>
void everything_about(const char* name) {
  error_is_at_most_2_ulp<T>(name);
  products_are_rounded_first<T>();
  whole_powers_are_exact<T>();
  outside_its_range_it_is_0_or_infinity<T>();
  nan_stays_nan_in_its_own_lane<T>();
  vectors_together_have_the_same_bits<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything_about<float>("float");
  everything_about<double>("double");
  return summary();
}
