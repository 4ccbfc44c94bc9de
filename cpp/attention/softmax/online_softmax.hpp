// The softmax of rows whose scores are computed a tile at a time (Milakov and Gimelshein, "Online
// normalizer calculation for softmax", 2018). The state of a row, which further keys update and
// states of other key splits are merged into:
//   maximum   the running maximum of the scores
//   sum       the running sum Σ weight     weight = 2^(exponent · (score − maximum)), softmax.hpp
//   out       Σ weight · value, (Dv) elements
// add_tile updates panels (lanes are queries), add_row single rows (lanes are keys).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "arrays/finite_cast.hpp"
#include "arrays/rows.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/softmax/normalizer.hpp"
#include "simd/packet.hpp"

namespace heedful {

// The state of `lanes` rows side by side: maximum and sum (lanes), out (Dv, lanes).
template <class T>
struct RunningSoftmax {
  T* maximum;
  T* sum;
  T* out;
};

// Initialises a row: empty, or with the sink, which is a logit without a value. `unit` is that of
// the ScoreRule.
template <class T>
void start_row(T& maximum, T& sum, const double* sink, std::ptrdiff_t head, T unit = 1) {
  maximum = sink ? finite_cast<T>(sink[head] * static_cast<double>(unit)) : minus_infinity<T>;
  sum = maximum == minus_infinity<T> ? T{0} : T{1};
}

// The same for `lanes` rows, of the heads `heads` (lanes).
template <class T>
void start_rows(const RunningSoftmax<T>& state, int lanes, const double* sink,
                const std::ptrdiff_t* heads, T unit) {
  if (!sink) {
    std::fill_n(state.maximum, lanes, minus_infinity<T>);
    std::fill_n(state.sum, lanes, T{0});
    return;
  }
  for (int lane = 0; lane < lanes; ++lane) {
    start_row(state.maximum[lane], state.sum[lane], sink, heads[lane], unit);
  }
}

// Replaces scores [key][lane] by weights in place, and adds them to the sums. `new_maximum` (lanes)
// is the running maximum including this tile; where it grew, previous sums are rescaled. The
// normaliser is passed by value, so that stores to scores cannot alias it.
template <class T, class Normalizer>
void add_tile(const Normalizer normalizer, RunningSoftmax<T>& state, T* scores, std::ptrdiff_t keys,
              int lanes, std::ptrdiff_t columns, const T* new_maximum) {
  using P = simd::Packet<T>;
  constexpr int width = simd::lanes<T>;
  const bool maximum_rose =
      std::memcmp(new_maximum, state.maximum, static_cast<std::size_t>(lanes) * sizeof(T)) != 0;
  for (int lane = 0; lane < lanes; lane += width) {
    const P base = normalizer.base(simd::load(new_maximum + lane));
    // of this tile alone: summing in two levels keeps the error of long rows small
    P total = simd::broadcast(T{0});
    const auto weigh = [&](auto together, std::ptrdiff_t key) {
      constexpr int count = decltype(together)::value;
      P weights[count];
      normalizer.weights(scores + key * lanes + lane, lanes, base, weights);
#pragma GCC unroll 4
      for (int i = 0; i < count; ++i) {
        simd::store(scores + (key + i) * lanes + lane, weights[i]);
        total = simd::add(total, weights[i]);
      }
    };
    std::ptrdiff_t key = 0;
    for (; key + 4 <= keys; key += 4) weigh(std::integral_constant<int, 4>(), key);
    for (; key < keys; ++key) weigh(std::integral_constant<int, 1>(), key);
    P sum = simd::load(state.sum + lane);
    if (maximum_rose) {
      const P rescale = normalizer.rescale(simd::load(state.maximum + lane), base);
      sum = simd::multiply(sum, rescale);
      for (std::ptrdiff_t column = 0; column < columns; ++column) {
        T* const out = state.out + column * lanes + lane;
        simd::store(out, simd::multiply(simd::load(out), rescale));
      }
      simd::store(state.maximum + lane, simd::load(new_maximum + lane));
    }
    simd::store(state.sum + lane, simd::add(sum, total));
  }
}

// The same for one row: scores [key] become weights in place, with room for whole vectors past the
// end; out (columns).
template <class T, class Normalizer>
void add_row(const Normalizer& normalizer, T* scores, std::ptrdiff_t keys, T& maximum, T& sum,
             T* out, std::ptrdiff_t columns) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  const std::ptrdiff_t whole = padded<T>(keys);
  std::fill(scores + keys, scores + whole, minus_infinity<T>);
  auto maxima = simd::broadcast(maximum);
  for (std::ptrdiff_t key = 0; key < whole; key += width) {
    maxima = simd::maximum(maxima, simd::load(scores + key));
  }
  const T new_maximum = simd::max_lane(maxima);
  const T base = normalizer.base(new_maximum);
  if (maximum == minus_infinity<T>) {  // nothing was added yet, or only zeros
    maximum = new_maximum;
  } else if (new_maximum != maximum) {
    const T rescale = normalizer.rescale(maximum, base);
    sum *= rescale;
    for (std::ptrdiff_t column = 0; column < columns; ++column) out[column] *= rescale;
    maximum = new_maximum;
  }
  const auto bases = simd::broadcast(base);
  auto total = simd::broadcast(T{0});
  for (std::ptrdiff_t key = 0; key < whole; key += width) {
    const auto weight = normalizer.weight(simd::load(scores + key), bases);
    simd::store(scores + key, weight);
    total = simd::add(total, weight);
  }
  sum += simd::sum(total);
}

template <class T>
T out_factor(const ScoreRule<T>& rule, T sum, T factor) {
  return with_normalizer(
      rule, [=](const auto& normalizer) { return normalizer.out_factor(sum, factor); });
}
// The factors of `lanes` rows, whole vectors.
template <class T>
void out_factors(const ScoreRule<T>& rule, const T* sums, T factor, int lanes, T* factors) {
  with_normalizer(rule, [=](const auto& normalizer) {
    for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
      const auto sum = simd::load(sums + lane);
      simd::store(factors + lane, normalizer.out_factor(sum, simd::broadcast(factor)));
    }
  });
}
template <class T>
T log_sum_exp(const ScoreRule<T>& rule, T maximum, T sum) {
  return with_normalizer(rule,
                         [=](const auto& normalizer) { return normalizer.lse(maximum, sum); });
}

// Merges `splits` states of one row, in order; factors[split] is the factor of its out.
template <class T, class Normalizer>
void merge_rows(const Normalizer& normalizer, const T* const* maxima, const T* const* sums,
                std::ptrdiff_t splits, std::ptrdiff_t row, T* factors, T& maximum, T& sum) {
  maximum = minus_infinity<T>;
  for (std::ptrdiff_t split = 0; split < splits; ++split) {
    maximum = std::max(maximum, maxima[split][row]);
  }
  sum = 0;
  for (std::ptrdiff_t split = 0; split < splits; ++split) {
    // a split without visible keys has factor 0; −∞ − (−∞) would be NaN
    factors[split] = sums[split][row] == 0 ? T{0} : normalizer.rescale(maxima[split][row], maximum);
    sum += factors[split] * sums[split][row];
  }
}

}  // namespace heedful
