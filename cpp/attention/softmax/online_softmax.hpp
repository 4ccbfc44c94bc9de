// The softmax of rows whose scores come a tile at a time (Milakov and Gimelshein, "Online
// normalizer calculation for softmax", 2018). A row keeps three things, which more keys change and
// another split's merge into:
//   maximum   the greatest score so far
//   sum       Σ weight        weight = 2^(exponent · (score − maximum)), see softmax.hpp
//   out       Σ weight · value, (Dv) elements
// In panels (lanes are queries) by add_tile, row by row (lanes are keys) by add_row.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>

#include "arrays/finite_cast.hpp"
#include "arrays/rows.hpp"
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

// One row before its first key: nothing, or the sink, which is a logit without a value. `unit` is
// that of the ScoreRule.
template <class T>
void start_row(T& maximum, T& sum, const double* sink, std::ptrdiff_t head, T unit = 1) {
  constexpr T nothing = -std::numeric_limits<T>::infinity();
  maximum = sink ? finite_cast<T>(sink[head] * static_cast<double>(unit)) : nothing;
  sum = maximum == nothing ? T{0} : T{1};
}

// Turns scores [key][lane] into weights in place, and adds them to the sums. `raised` (lanes) is
// the maximum over this tile too; where it rose, what was summed before shrinks accordingly.
template <class T, class Normalizer>
void add_tile(const Normalizer& normalizer, RunningSoftmax<T>& state, T* scores,
              std::ptrdiff_t keys, int lanes, std::ptrdiff_t columns, const T* raised) {
  using P = simd::Packet<T>;
  constexpr int width = simd::lanes<T>;
  const bool rose =
      std::memcmp(raised, state.maximum, static_cast<std::size_t>(lanes) * sizeof(T)) != 0;
  for (int lane = 0; lane < lanes; lane += width) {
    const P base = normalizer.base(simd::load(raised + lane));
    // of this tile alone: two levels of summing keep the error of long rows small
    P total = simd::broadcast(T{0});
    for (std::ptrdiff_t key = 0; key < keys; ++key) {
      T* const score = scores + key * lanes + lane;
      const P weight = normalizer.weight(simd::load(score), base);
      simd::store(score, weight);
      total = simd::add(total, weight);
    }
    P sum = simd::load(state.sum + lane);
    if (rose) {
      const P shrink = normalizer.shrink(simd::load(state.maximum + lane), base);
      sum = simd::multiply(sum, shrink);
      for (std::ptrdiff_t column = 0; column < columns; ++column) {
        T* const out = state.out + column * lanes + lane;
        simd::store(out, simd::multiply(simd::load(out), shrink));
      }
      simd::store(state.maximum + lane, simd::load(raised + lane));
    }
    simd::store(state.sum + lane, simd::add(sum, total));
  }
}

// The same for one row: scores [key] into weights in place, with room for whole vectors past the
// last; out (columns).
template <class T, class Normalizer>
void add_row(const Normalizer& normalizer, T* scores, std::ptrdiff_t keys, T& maximum, T& sum,
             T* out, std::ptrdiff_t columns) {
  constexpr T nothing = -std::numeric_limits<T>::infinity();
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  const std::ptrdiff_t whole = padded<T>(keys);
  std::fill(scores + keys, scores + whole, nothing);
  auto greatest = simd::broadcast(maximum);
  for (std::ptrdiff_t key = 0; key < whole; key += width) {
    greatest = simd::maximum(greatest, simd::load(scores + key));
  }
  const T raised = simd::max_lane(greatest);
  const T base = normalizer.base(raised);
  if (maximum == nothing) {  // nothing was added yet, or only zeros
    maximum = raised;
  } else if (raised != maximum) {
    const T shrink = normalizer.shrink(maximum, base);
    sum *= shrink;
    for (std::ptrdiff_t column = 0; column < columns; ++column) out[column] *= shrink;
    maximum = raised;
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

// lse = ln Σ e^(natural · score), −∞ where nothing was seen.
template <class T>
T log_sum_exp(T maximum, T sum, T natural) {
  return sum == 0 ? -std::numeric_limits<T>::infinity() : maximum * natural + std::log(sum);
}

// What sums of weighted values are multiplied by at the end; 0 where nothing was seen.
template <class T>
T out_factor(T sum, T factor) {
  return sum == 0 ? T{0} : factor / sum;
}

// Merges `splits` states of one row, in their order: factors[split] is what its out counts.
template <class T, class Normalizer>
void merge_rows(const Normalizer& normalizer, const T* const* maxima, const T* const* sums,
                std::ptrdiff_t splits, std::ptrdiff_t row, T* factors, T& maximum, T& sum) {
  maximum = -std::numeric_limits<T>::infinity();
  for (std::ptrdiff_t split = 0; split < splits; ++split) {
    maximum = std::max(maximum, maxima[split][row]);
  }
  sum = 0;
  for (std::ptrdiff_t split = 0; split < splits; ++split) {
    // one that saw nothing counts nothing; −∞ − (−∞) would be NaN
    factors[split] = sums[split][row] == 0 ? T{0} : normalizer.shrink(maxima[split][row], maximum);
    sum += factors[split] * sums[split][row];
  }
}

}  // namespace heedful
