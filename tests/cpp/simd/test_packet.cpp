// The operations on vector registers: arithmetic, comparisons and selection with NaN and signed
// zeros, transposition.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <numeric>

#include "check.hpp"
#include "random_numbers.hpp"
#include "simd/packet.hpp"
#include "ulps.hpp"

namespace heedful {
namespace {

template <class T>
constexpr int lanes = simd::lanes<T>;
template <class T>
constexpr T nan = std::numeric_limits<T>::quiet_NaN();
template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

// One lane of f(a, b, …), after a check that all lanes agree.
template <class T, class Function, class... Arguments>
T apply(const Function& function, Arguments... arguments) {
  T values[lanes<T>];
  simd::store(values, function(simd::broadcast(T(arguments))...));
  for (const T& value : values) {
    check(std::memcmp(&value, values, sizeof(T)) == 0, "lanes agree");
  }
  return values[0];
}

template <class T>
void load_and_store_need_no_alignment() {
  T values[3 * lanes<T>];
  for (int i = 0; i < 3 * lanes<T>; ++i) values[i] = T(i);
  for (int from = 0; from < lanes<T>; ++from) {
    T copy[2 * lanes<T> + 1] = {};
    simd::store(copy + 1, simd::load(values + from));
    bool right = copy[0] == 0 && copy[lanes<T> + 1] == 0;
    for (int lane = 0; lane < lanes<T>; ++lane) right &= copy[1 + lane] == T(from + lane);
    check(right, "a register is loaded and stored at any address, without touching its neighbours");
  }
}

template <class T>
void arithmetic_is_done_lane_by_lane() {
  RandomNumbers random(2);
  T a[lanes<T>], b[lanes<T>], c[lanes<T>];
  for (int i = 0; i < lanes<T>; ++i) {
    a[i] = static_cast<T>(random.between(-3, 3));
    b[i] = static_cast<T>(random.between(1, 3));
    c[i] = static_cast<T>(random.between(-3, 3));
  }
  const auto all_lanes = [](const simd::Packet<T>& packet, const auto& expected) {
    T values[lanes<T>];
    simd::store(values, packet);
    bool right = true;
    for (int lane = 0; lane < lanes<T>; ++lane) right &= values[lane] == expected(lane);
    return right;
  };
  const auto x = simd::load(a), y = simd::load(b), z = simd::load(c);
  check(all_lanes(simd::add(x, y), [&](int i) { return a[i] + b[i]; }), "add adds");
  check(all_lanes(simd::subtract(x, y), [&](int i) { return a[i] - b[i]; }), "subtract subtracts");
  check(all_lanes(simd::multiply(x, y), [&](int i) { return a[i] * b[i]; }), "multiply multiplies");
  check(all_lanes(simd::divide(x, y), [&](int i) { return a[i] / b[i]; }), "divide divides");
  check(all_lanes(simd::maximum(x, z), [&](int i) { return std::fmax(a[i], c[i]); }),
        "maximum is the larger");
  check(all_lanes(simd::minimum(x, z), [&](int i) { return std::fmin(a[i], c[i]); }),
        "minimum is the smaller");
  check(all_lanes(simd::absolute(x), [&](int i) { return std::abs(a[i]); }),
        "absolute drops the sign");
  long double total = 0;
  for (const T value : a) total += value;
  close(simd::sum(x), static_cast<double>(total), 1e-6, "sum adds all lanes");
  check(simd::max_lane(x) == *std::max_element(a, a + lanes<T>), "max_lane is the largest lane");

  T rows[lanes<T> * lanes<T>], sums[lanes<T>];
  for (int i = 0; i < lanes<T> * lanes<T>; ++i) rows[i] = static_cast<T>(i * 37 % 101);
  simd::Packet<T> vectors[lanes<T>];
  for (int i = 0; i < lanes<T>; ++i) vectors[i] = simd::load(rows + i * lanes<T>);
  simd::store(sums, simd::sum_lanes<T, 1, lanes<T>>(vectors));
  bool summed = true;
  for (int i = 0; i < lanes<T>; ++i) {
    summed &= sums[i] == std::accumulate(rows + i * lanes<T>, rows + (i + 1) * lanes<T>, T{0});
  }
  check(summed, "sum_lanes adds the lanes of each vector");

  T fused[lanes<T>];
  simd::store(fused, simd::multiply_add(x, y, z));
  bool right = true;
  for (int i = 0; i < lanes<T>; ++i) {
    const T rounded_twice = static_cast<T>(static_cast<T>(a[i] * b[i]) + c[i]);
    right &= std::abs(fused[i] - rounded_twice) <= 4 * std::numeric_limits<T>::epsilon() * 12;
  }
  check(right, "multiply_add multiplies and adds");
  const T tiny = std::numeric_limits<T>::epsilon();
  const T rest = apply<T>([](auto p, auto q, auto r) { return simd::multiply_add(p, q, r); },
                          1 + tiny, 1 - tiny, -1);
  check(rest == (simd::fused ? -tiny * tiny : 0), "multiply_add rounds once if `fused`");
}

template <class T>
void maximum_returns_its_first_argument_where_either_is_nan() {
  const auto maximum = [](auto a, auto b) { return simd::maximum(a, b); };
  const auto minimum = [](auto a, auto b) { return simd::minimum(a, b); };
  check(apply<T>(maximum, 1, nan<T>) == 1, "maximum(1, NaN) is 1");
  check(std::isnan(apply<T>(maximum, nan<T>, 1)), "maximum(NaN, 1) is NaN");
  check(apply<T>(minimum, 1, nan<T>) == 1, "minimum(1, NaN) is 1");
  check(std::isnan(apply<T>(minimum, nan<T>, 1)), "minimum(NaN, 1) is NaN");
  check(apply<T>(maximum, -infinity<T>, -5) == -5, "every number is larger than −∞");
  check(apply<T>(maximum, -infinity<T>, nan<T>) == -infinity<T>, "a NaN does not raise a maximum");
}

template <class T>
void comparisons_with_nan_are_false() {
  const auto chosen = [](const auto& compare, T a, T b) {
    return apply<T>(
        [&](auto x, auto y) {
          return simd::select(compare(x, y), simd::broadcast(T{1}), simd::broadcast(T{2}));
        },
        a, b);
  };
  const auto equal = [](auto a, auto b) { return simd::equal(a, b); };
  const auto less = [](auto a, auto b) { return simd::less(a, b); };
  const auto less_equal = [](auto a, auto b) { return simd::less_equal(a, b); };
  check(chosen(equal, 3, 3) == 1 && chosen(equal, 3, 4) == 2, "equal distinguishes numbers");
  check(chosen(equal, 0, -T{0}) == 1, "zeros of either sign are equal");
  check(chosen(equal, -infinity<T>, -infinity<T>) == 1, "−∞ equals itself");
  check(chosen(less, 3, 4) == 1 && chosen(less, 4, 4) == 2 && chosen(less, 5, 4) == 2,
        "less is strict");
  check(chosen(less_equal, 3, 4) == 1 && chosen(less_equal, 4, 4) == 1 &&
            chosen(less_equal, 5, 4) == 2,
        "less_equal is not strict");
  for (const auto& [a, b] :
       {std::pair{nan<T>, T{1}}, std::pair{T{1}, nan<T>}, std::pair{nan<T>, nan<T>}}) {
    check(chosen(equal, a, b) == 2 && chosen(less, a, b) == 2 && chosen(less_equal, a, b) == 2,
          "no comparison with NaN holds");
  }
}

template <class T>
void select_ignores_the_other_side() {
  T a[lanes<T>], b[lanes<T>], index[lanes<T>], values[lanes<T>];
  for (int i = 0; i < lanes<T>; ++i) {
    index[i] = T(i);
    a[i] = i < 2 ? T(10 + i) : nan<T>;
    b[i] = i < 2 ? infinity<T> : T(20 + i);
  }
  const auto first_two = simd::less(simd::load(index), simd::broadcast(T{2}));
  simd::store(values, simd::select(first_two, simd::load(a), simd::load(b)));
  bool right = true;
  for (int i = 0; i < lanes<T>; ++i) right &= values[i] == T((i < 2 ? 10 : 20) + i);
  check(right, "select returns the chosen element alone, whatever the other is");
  const auto not_first = simd::less_equal(simd::broadcast(T{1}), simd::load(index));
  simd::store(values, simd::select(simd::both(first_two, not_first), simd::broadcast(T{1}),
                                   simd::broadcast(T{0})));
  for (int i = 0; i < lanes<T>; ++i) {
    check(values[i] == (i == 1 ? 1 : 0), "both is the logical and");
  }
}

template <class T>
void transpose_swaps_rows_and_columns() {
  simd::Square<T> square;
  for (int row = 0; row < lanes<T>; ++row) {
    T values[lanes<T>];
    for (int column = 0; column < lanes<T>; ++column) values[column] = T(100 * row + column);
    square.packet[row] = simd::load(values);
  }
  simd::transpose<T>(square);
  bool right = true;
  for (int row = 0; row < lanes<T>; ++row) {
    T values[lanes<T>];
    simd::store(values, square.packet[row]);
    for (int column = 0; column < lanes<T>; ++column) {
      right &= values[column] == T(100 * column + row);
    }
  }
  check(right, "transpose exchanges rows and columns");
}

template <class T>
void pairs_are_separated_and_zipped_again() {
  T values[2 * lanes<T>], evens[lanes<T>], odds[lanes<T>], again[2 * lanes<T>];
  for (int i = 0; i < 2 * lanes<T>; ++i) values[i] = T(i);
  const auto a = simd::load(values), b = simd::load(values + lanes<T>);
  const auto even = simd::evens<T>(a, b), odd = simd::odds<T>(a, b);
  simd::store(evens, even);
  simd::store(odds, odd);
  simd::store(again, simd::zip_low<T>(even, odd));
  simd::store(again + lanes<T>, simd::zip_high<T>(even, odd));
  bool right = true;
  for (int i = 0; i < lanes<T>; ++i) right &= evens[i] == T(2 * i) && odds[i] == T(2 * i + 1);
  check(right, "evens and odds take every second element");
  check(std::memcmp(again, values, sizeof(again)) == 0, "zip_low and zip_high restore them");
}

template <class T>
void tanh_is_close_and_bounded(const char* name, double allowed) {
  const auto tanh = [](auto a) { return simd::tanh<T>(a); };
  RandomNumbers random(3);
  double worst = 0;
  T at = 0;
  bool bounded = true;
  for (int n = 0; n < 20000; ++n) {
    T x[lanes<T>], values[lanes<T>];
    for (T& number : x) number = static_cast<T>(std::ldexp(random.between(-1, 1), 5 - n % 30));
    simd::store(values, simd::tanh<T>(simd::load(x)));
    for (int lane = 0; lane < lanes<T>; ++lane) {
      bounded &= std::abs(values[lane]) <= 1;
      const double error = ulps(values[lane], std::tanh(static_cast<long double>(x[lane])));
      if (error <= worst) continue;
      worst = error;
      at = x[lane];
    }
  }
  std::printf("tanh of %s: at most %.3f ulp, at %.9g\n", name, worst, static_cast<double>(at));
  check(worst <= allowed, "tanh is within a few ulp");
  check(bounded, "tanh never exceeds 1");
  check(apply<T>(tanh, 0) == 0, "tanh(0) is 0");
  check(apply<T>(tanh, infinity<T>) == 1 && apply<T>(tanh, -infinity<T>) == -1, "tanh(±∞) is ±1");
  check(apply<T>(tanh, std::numeric_limits<T>::max()) == 1, "tanh of the largest number is 1");
  check(std::isnan(apply<T>(tanh, nan<T>)), "tanh(NaN) is NaN");
}

void bits_are_reinterpreted() {
  check(simd::bits_as<std::uint32_t>(1.0f) == 0x3F800000u, "1.0f is 0x3F800000");
  check(simd::bits_as<float>(std::uint32_t{0xFF800000u}) == -infinity<float>, "0xFF800000 is −∞");
}

template <class T>
void everything_about(const char* name, double tanh_ulps) {
  static_assert(sizeof(simd::Packet<T>) == sizeof(T) * lanes<T>);
  load_and_store_need_no_alignment<T>();
  arithmetic_is_done_lane_by_lane<T>();
  maximum_returns_its_first_argument_where_either_is_nan<T>();
  comparisons_with_nan_are_false<T>();
  select_ignores_the_other_side<T>();
  transpose_swaps_rows_and_columns<T>();
  pairs_are_separated_and_zipped_again<T>();
  tanh_is_close_and_bounded<T>(name, tanh_ulps);
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  static_assert(simd::lanes<float> == 2 * simd::lanes<double>);
  everything_about<float>("float", 8);
  everything_about<double>("double", 4);
  bits_are_reinterpreted();
  return summary();
}
