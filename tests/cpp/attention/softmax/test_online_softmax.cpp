// The softmax of rows whose scores are added a tile at a time: any split of the keys gives the
// result over all.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "attention/problem/minus_infinity.hpp"
#include "attention/softmax/online_softmax.hpp"
#include "check.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

// score · natural is the input of the softmax, 2^(score · exponent) its exponential.
constexpr double natural = 0.37;
constexpr double exponent = natural * log2_e;

constexpr std::ptrdiff_t keys = 60;
constexpr std::ptrdiff_t columns = 3;

// Scores and values; some lanes have some −∞, lane 1 all, lane 2 those before key 50.
template <class T>
struct Scored {
  int lanes = 2 * simd::lanes<T>;
  std::vector<T> scores, values;

  explicit Scored(double spread = 8) {
    RandomNumbers random(15);
    for (std::ptrdiff_t i = 0; i < keys * lanes; ++i) {
      const std::ptrdiff_t key = i / lanes, lane = i % lanes;
      const bool is_hidden =
          lane == 1 || (lane == 2 && key < 50) || (lane % 3 == 0 && random.bits() % 2 == 0);
      scores.push_back(is_hidden ? minus_infinity<T>
                                 : static_cast<T>(random.between(-spread, spread)));
    }
    for (std::ptrdiff_t i = 0; i < keys * columns; ++i) {
      values.push_back(static_cast<T>(random.between(-1, 1)));
    }
  }
  T score(std::ptrdiff_t key, std::ptrdiff_t lane) const {
    return scores[static_cast<std::size_t>(key * lanes + lane)];
  }
};

template <class T>
struct State {
  std::vector<T> maximum, sum, out;

  State(int lanes, const double* sink = nullptr)
      : maximum(static_cast<std::size_t>(lanes)),
        sum(maximum),
        out(static_cast<std::size_t>(columns * lanes)) {
    for (std::size_t lane = 0; lane < maximum.size(); ++lane) {
      start_row(maximum[lane], sum[lane], sink, 0);
    }
  }
  // Adds keys [begin, end) of the scores, and their weighted values.
  void add(const Scored<T>& scored, std::ptrdiff_t begin, std::ptrdiff_t end) {
    const int lanes = scored.lanes;
    std::vector<T> weights(scored.scores.begin() + begin * lanes,
                           scored.scores.begin() + end * lanes);
    std::vector<T> new_maximum = maximum;
    for (std::ptrdiff_t i = begin * lanes; i < end * lanes; ++i) {
      T& lane_maximum = new_maximum[static_cast<std::size_t>(i % lanes)];
      lane_maximum = std::max(lane_maximum, scored.scores[static_cast<std::size_t>(i)]);
    }
    RunningSoftmax<T> state{maximum.data(), sum.data(), out.data()};
    add_tile(Softmax<T>{T(exponent), T{1}}, state, weights.data(), end - begin, lanes, columns,
             new_maximum.data());
    for (std::ptrdiff_t column = 0; column < columns; ++column) {
      for (std::ptrdiff_t i = 0; i < (end - begin) * lanes; ++i) {
        out[static_cast<std::size_t>(column * lanes + i % lanes)] +=
            weights[static_cast<std::size_t>(i)] *
            scored.values[static_cast<std::size_t>((begin + i / lanes) * columns + column)];
      }
    }
  }
  T result(std::ptrdiff_t column, int lane) const {
    const auto at = static_cast<std::size_t>(lane);
    return out[static_cast<std::size_t>(column * static_cast<std::ptrdiff_t>(sum.size()) + lane)] *
           Softmax<T>{}.out_factor(sum[at], T(1));
  }
  T lse(int lane) const {
    const auto at = static_cast<std::size_t>(lane);
    return Softmax<T>{T(exponent), T(natural)}.lse(maximum[at], sum[at]);
  }
};

// The results of a lane by the definition, in natural units.
template <class T>
struct Truth {
  long double lse;
  long double out[columns] = {};

  Truth(const Scored<T>& scored, int lane, long double sink) {
    const long double unit = natural;
    sink *= unit;
    long double maximum = sink;
    for (std::ptrdiff_t key = 0; key < keys; ++key) {
      maximum = std::fmax(maximum, scored.score(key, lane) * unit);
    }
    lse = maximum;
    if (std::isinf(maximum)) return;
    long double sum = std::exp(sink - maximum);
    for (std::ptrdiff_t key = 0; key < keys; ++key) {
      sum += std::exp(scored.score(key, lane) * unit - maximum);
    }
    lse = maximum + std::log(sum);
    for (std::ptrdiff_t key = 0; key < keys; ++key) {
      for (std::ptrdiff_t column = 0; column < columns; ++column) {
        out[column] += std::exp(scored.score(key, lane) * unit - lse) *
                       scored.values[static_cast<std::size_t>(key * columns + column)];
      }
    }
  }
};

template <class T>
void any_split_of_the_keys_equals_the_whole() {
  const std::vector<std::vector<std::ptrdiff_t>> splits = {
      {0, 60}, {0, 1, 60}, {0, 7, 8, 33, 60}, {0, 59, 60}, {0, 20, 20, 60}};
  const double sink = 0.8;  // a score too
  for (const double* const sink_pointer : {static_cast<const double*>(nullptr), &sink}) {
    for (const double spread : {0.1, 8.0, 100.0}) {
      const Scored<T> scored(spread);
      for (const auto& split : splits) {
        State<T> state(scored.lanes, sink_pointer);
        for (std::size_t i = 0; i + 1 < split.size(); ++i) {
          state.add(scored, split[i], split[i + 1]);
        }
        bool right = true;
        for (int lane = 0; lane < scored.lanes; ++lane) {
          const Truth<T> truth(
              scored, lane,
              sink_pointer ? static_cast<long double>(sink) : minus_infinity<long double>);
          const long double allowed =
              100 * std::numeric_limits<T>::epsilon() * std::fmax(1, spread / 8);
          right &=
              state.lse(lane) == truth.lse || std::abs(state.lse(lane) - truth.lse) <= allowed * 4;
          for (std::ptrdiff_t column = 0; column < columns; ++column) {
            right &= std::abs(state.result(column, lane) - truth.out[column]) <= allowed;
          }
        }
        check(right, "maximum, sum and out give softmax and log-sum-exp");
      }
    }
  }
}

template <class T>
void rows_without_visible_keys_stay_empty() {
  const Scored<T> scored;
  State<T> state(scored.lanes);
  state.add(scored, 0, 30);
  check(state.maximum[1] == minus_infinity<T> && state.sum[1] == 0,
        "a row of hidden keys has no maximum and no sum");
  check(state.lse(1) == minus_infinity<T> && state.result(0, 1) == 0, "so lse is −∞ and out is 0");
  state.add(scored, 30, 60);
  check(state.lse(2) > minus_infinity<T>,
        "a row that sees its first key late has a sum from then on");
  check(Softmax<T>{T{1}, T(natural)}.lse(minus_infinity<T>, T{0}) == minus_infinity<T> &&
            Softmax<T>{}.out_factor(T{0}, T(2)) == 0,
        "there is no division by 0");
}

template <class T>
void a_sink_counts_as_a_key() {
  T maximum = 0, sum = 0;
  const double sinks[] = {1.0, 2.5};
  start_row(maximum, sum, sinks, 1);
  check(sum == 1, "a sink counts as one key");
  close(Softmax<T>{T(log2_e), T{1}}.lse(maximum, sum), 2.5, 1e-6, "alone, lse is the sink");
  check(Softmax<T>{}.out_factor(sum, T(3)) == 3, "and out is divided by its weight");
  const double none = minus_infinity<double>;
  start_row(maximum, sum, &none, 0);
  check(maximum == minus_infinity<T> && sum == 0, "a sink of −∞ has no effect");
}

template <class T>
void nan_reaches_its_own_lane_alone() {
  Scored<T> scored;
  scored.scores[static_cast<std::size_t>(5 * scored.lanes + 3)] =
      std::numeric_limits<T>::quiet_NaN();
  State<T> state(scored.lanes);
  state.add(scored, 0, 60);
  for (int lane = 0; lane < scored.lanes; ++lane) {
    check(std::isnan(state.lse(lane)) == (lane == 3) &&
              std::isnan(state.result(0, lane)) == (lane == 3),
          "a NaN score makes its row NaN, and no other");
  }
}

template <class T>
void a_maximum_that_stays_changes_no_bit() {
  const Scored<T> scored;
  State<T> once(scored.lanes);
  once.add(scored, 0, 60);
  State<T> again = once;
  Scored<T> hidden = scored;
  std::fill(hidden.scores.begin(), hidden.scores.end(), minus_infinity<T>);
  again.add(hidden, 0, 60);
  check(again.maximum == once.maximum && again.sum == once.sum && again.out == once.out,
        "hidden keys change no bit");
}

template <class T>
void merged_splits_equal_the_whole() {
  const Scored<T> scored;
  State<T> whole(scored.lanes);
  whole.add(scored, 0, 60);
  const std::ptrdiff_t bounds[] = {0, 7, 7, 40, 60};  // the second split is empty
  std::vector<State<T>> splits;
  const T* maxima[4];
  const T* sums[4];
  for (int p = 0; p < 4; ++p) splits.emplace_back(scored.lanes);
  for (int p = 0; p < 4; ++p) {
    State<T>& split = splits[static_cast<std::size_t>(p)];
    if (bounds[p] < bounds[p + 1]) split.add(scored, bounds[p], bounds[p + 1]);
    maxima[p] = split.maximum.data();
    sums[p] = split.sum.data();
  }
  for (int lane = 0; lane < scored.lanes; ++lane) {
    T factors[4], maximum = 0, sum = 0;
    merge_rows(Softmax<T>{T(exponent), T{1}}, maxima, sums, 4, lane, factors, maximum, sum);
    check(factors[1] == 0, "a split without visible keys has factor 0");
    check(maximum == whole.maximum[static_cast<std::size_t>(lane)],
          "the maximum is that of the splits");
    close(sum, whole.sum[static_cast<std::size_t>(lane)], 1e-5 * std::abs(sum), "the sums add up");
    T out = 0;
    for (int p = 0; p < 4; ++p) {
      out += factors[p] * splits[static_cast<std::size_t>(p)].out[static_cast<std::size_t>(lane)];
    }
    close(out, whole.out[static_cast<std::size_t>(lane)], 1e-5 * static_cast<double>(sum) + 1e-12,
          "so do the outputs");
  }
}

template <class T>
void everything() {
  any_split_of_the_keys_equals_the_whole<T>();
  rows_without_visible_keys_stay_empty<T>();
  a_sink_counts_as_a_key<T>();
  nan_reaches_its_own_lane_alone<T>();
  a_maximum_that_stays_changes_no_bit<T>();
  merged_splits_equal_the_whole<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
