// Dropout of layers against Philox one counter at a time.
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "layers/dropout.hpp"
#include "philox_words.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

bool keeps_element(const Dropout& dropout, std::uint64_t n) {
  const PhiloxWords words =
      philox_words({static_cast<std::uint32_t>(n / 64), static_cast<std::uint32_t>(n % 16), 0,
                    static_cast<std::uint32_t>(n >> 38)},
                   dropout.seed);
  return dropout.p < 1 && words[n / 16 % 4] >= std::nearbyint(dropout.p * 0x1p32);
}

template <class T>
std::vector<T> random_values(std::ptrdiff_t count, std::uint64_t seed) {
  RandomNumbers random(seed);
  std::vector<T> drawn(static_cast<std::size_t>(count) + 1);  // one more, which must not be touched
  for (T& value : drawn) value = static_cast<T>(random.between(-2, 2));
  return drawn;
}

template <class T>
void every_remainder() {
  const double unit = std::numeric_limits<T>::epsilon();
  const Dropout dropout{0.375, 0x123456789ABCDEF0u};
  for (std::ptrdiff_t count = 0; count < 200; ++count) {
    const std::vector<T> x = random_values<T>(count, 1), residual = random_values<T>(count, 2);
    std::vector<T> y(x.size(), T(99)), added = y;
    apply_dropout<T>(dropout, x.data(), nullptr, y.data(), count, Team{1});
    apply_dropout<T>(dropout, x.data(), residual.data(), added.data(), count, Team{1});
    for (std::size_t i = 0; i + 1 < x.size(); ++i) {
      const double value = keeps_element(dropout, i) ? x[i] / 0.625 : 0;
      close(y[i], value, unit * std::abs(value), "a kept element, scaled, or 0");
      close(added[i], value + residual[i], 8 * unit, "the residual is added");
    }
    check(y.back() == T(99) && added.back() == T(99), "nothing is written past the end");
    std::vector<T> x_in_place = x, residual_in_place = residual;
    apply_dropout<T>(dropout, x_in_place.data(), residual.data(), x_in_place.data(), count,
                     Team{1});
    apply_dropout<T>(dropout, x.data(), residual_in_place.data(), residual_in_place.data(), count,
                     Team{1});
    x_in_place.back() = residual_in_place.back() = T(99);
    check(x_in_place == added && residual_in_place == added, "y may be x or residual");
  }
}

template <class T>
void threads_change_nothing() {
  const Dropout dropout{0.1, 7};
  for (const std::ptrdiff_t count : {16384, 32769, 100003}) {
    const std::vector<T> x = random_values<T>(count, 3);
    std::vector<T> alone = x;
    apply_dropout<T>(dropout, x.data(), x.data(), alone.data(), count, Team{1});
    bool kept_where_said = true;
    for (std::size_t i = 0; i + 1 < x.size(); ++i) {
      kept_where_said &= (alone[i] != x[i]) == keeps_element(dropout, i) || x[i] == 0;
    }
    check(kept_where_said, "elements are numbered from the beginning of the array");
    for (const int threads : {2, 3}) {
      std::vector<T> together = x;
      apply_dropout<T>(dropout, x.data(), x.data(), together.data(), count, Team{threads});
      check(together == alone, "the same bits for any number of threads");
    }
  }
}

template <class T>
void dropped_elements_have_no_effect() {
  for (const double p : {0.5, 1.0}) {
    const Dropout dropout{p, 5};
    const T bad[] = {std::numeric_limits<T>::quiet_NaN(), std::numeric_limits<T>::infinity()};
    for (const T planted : bad) {
      std::vector<T> x(97, planted);
      apply_dropout<T>(dropout, x.data(), nullptr, x.data(), 97, Team{1});
      for (std::size_t i = 0; i < x.size(); ++i) {
        check(keeps_element(dropout, i) ? !std::isfinite(x[i]) : x[i] == 0,
              "a dropped NaN is 0, a kept one stays");
      }
    }
  }
}

template <class T>
void everything() {
  every_remainder<T>();
  threads_change_nothing<T>();
  dropped_elements_have_no_effect<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<float>();
  everything<double>();
  return summary();
}
