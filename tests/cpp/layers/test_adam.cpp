// Steps of Adam and AdamW against the equations of their papers, one element at a time.
#include <cmath>
#include <limits>
#include <vector>

#include "check.hpp"
#include "layers/adam.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

constexpr double rate = 0.01, decay = 0.1, beta1 = 0.9, beta2 = 0.99, epsilon = 1e-8;
constexpr int steps = 4;

AdamStep options(int t, bool decoupled) {
  return {
      rate / (1 - std::pow(beta1, t)), 1 / std::sqrt(1 - std::pow(beta2, t)), beta1, beta2, epsilon,
      decoupled ? 0 : decay,           decoupled ? 1 - rate * decay : 1};
}

template <class T>
double drawn(std::ptrdiff_t place, int t) {
  RandomNumbers random(static_cast<std::uint64_t>(place * 100 + t));
  return static_cast<T>(random.between(-1, 1));
}

// One element past the end, which must not be touched.
template <class T>
struct State {
  std::ptrdiff_t count;
  std::vector<T> parameter, first, second;

  explicit State(std::ptrdiff_t elements)
      : count(elements),
        parameter(static_cast<std::size_t>(elements) + 1, T(99)),
        first(parameter.size(), T(0)),
        second(parameter.size(), T(0)) {
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      parameter[static_cast<std::size_t>(i)] = static_cast<T>(drawn<T>(i, 0));
    }
    first.back() = second.back() = T(99);
  }

  // The gradient at `bad` is NaN.
  void train(bool decoupled, int threads, std::ptrdiff_t bad = -1) {
    std::vector<T> gradient(parameter.size());
    for (int t = 1; t <= steps; ++t) {
      for (std::ptrdiff_t i = 0; i < count; ++i) {
        gradient[static_cast<std::size_t>(i)] =
            i == bad ? std::numeric_limits<T>::quiet_NaN() : static_cast<T>(drawn<T>(i, t));
      }
      adam_step<T>(options(t, decoupled), count, parameter.data(), gradient.data(), first.data(),
                   second.data(), Team{threads});
    }
  }
  bool operator==(const State& other) const {
    return parameter == other.parameter && first == other.first && second == other.second;
  }
};

template <class T>
void is_right(std::ptrdiff_t count, bool decoupled) {
  State<T> state(count);
  state.train(decoupled, 1);
  const double unit = std::numeric_limits<T>::epsilon();
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    double p = drawn<T>(i, 0), m = 0, v = 0;
    for (int t = 1; t <= steps; ++t) {
      const double g = drawn<T>(i, t) + (decoupled ? 0 : decay * p);
      m = beta1 * m + (1 - beta1) * g;
      v = beta2 * v + (1 - beta2) * g * g;
      const double mean = m / (1 - std::pow(beta1, t)), square = v / (1 - std::pow(beta2, t));
      p -= decoupled ? rate * decay * p : 0;
      p -= rate * mean / (std::sqrt(square) + epsilon);
    }
    const auto place = static_cast<std::size_t>(i);
    close(state.first[place], m, 4 * unit, "the running mean");
    close(state.second[place], v, 4 * unit, "the running mean of squares");
    close(state.parameter[place], p, 8 * unit, "the parameter");
  }
  check(state.parameter.back() == 99 && state.first.back() == 99 && state.second.back() == 99,
        "nothing is written past the end");
}

template <class T>
void threads_change_nothing() {
  for (const std::ptrdiff_t count : {32767, 32769, 100003}) {
    State<T> alone(count);
    alone.train(true, 1);
    for (const int threads : {2, 3}) {
      State<T> together(count);
      together.train(true, threads);
      check(together == alone, "the same bits for any number of threads");
    }
  }
}

template <class T>
void nan_stays_in_its_place() {
  for (const std::ptrdiff_t bad : {0, 15, 16, 18}) {
    State<T> state(19), clean(19);
    state.train(false, 1, bad);
    clean.train(false, 1);
    for (std::ptrdiff_t i = 0; i < 19; ++i) {
      const auto place = static_cast<std::size_t>(i);
      check(i == bad ? std::isnan(state.parameter[place])
                     : state.parameter[place] == clean.parameter[place],
            "NaN stays in its place");
    }
  }
}

template <class T>
void everything() {
  for (const bool decoupled : {false, true}) {
    for (std::ptrdiff_t count = 0; count <= 67; ++count) is_right<T>(count, decoupled);
    is_right<T>(32770, decoupled);
  }
  threads_change_nothing<T>();
  nan_stays_in_its_place<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  everything<float>();
  everything<double>();
  return summary();
}
