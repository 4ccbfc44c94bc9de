// The softmax of rows whose scores come a tile at a time (Milakov and Gimelshein, "Online
// normalizer calculation for softmax", 2018). A row keeps three things, which more keys change and
// another part's merge into:
//   maximum   the greatest score so far
//   sum       Σ 2^(exponent · (score − maximum))
//   out       Σ 2^(exponent · (score − maximum)) · value, (Dv) numbers
// `exponent` and `natural` are those of the ScoreRule.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>

#include "arrays/finite_cast.hpp"
#include "attention/scores/score_tile.hpp"
#include "simd/exp2.hpp"
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

// What scores are measured from: the maximum, or 0 where nothing was seen, because −∞ − (−∞) would
// be NaN.
template <class T>
simd::Packet<T> base_of(const simd::Packet<T>& maximum) {
  const auto nothing = simd::broadcast(-std::numeric_limits<T>::infinity());
  return simd::select(simd::equal(maximum, nothing), simd::broadcast(T{0}), maximum);
}

// Turns scores [key][lane] into weights 2^(exponent · (score − raised)) in place, and adds them to
// the sums. `raised` (lanes) is the maximum over this tile too; where it rose, what was summed
// before shrinks accordingly.
template <class T>
void add_tile(RunningSoftmax<T>& state, T* scores, std::ptrdiff_t keys, int lanes,
              std::ptrdiff_t columns, const T* raised, T exponent) {
  using P = simd::Packet<T>;
  constexpr int width = simd::lanes<T>;
  const P exponents = simd::broadcast(exponent);
  const bool rose =
      std::memcmp(raised, state.maximum, static_cast<std::size_t>(lanes) * sizeof(T)) != 0;
  for (int lane = 0; lane < lanes; lane += width) {
    const P base = base_of<T>(simd::load(raised + lane));
    // of this tile alone: two levels of summing keep the error of long rows small
    P total = simd::broadcast(T{0});
    for (std::ptrdiff_t key = 0; key < keys; ++key) {
      T* const score = scores + key * lanes + lane;
      const P weight =
          simd::exp2<T>(simd::multiply(simd::subtract(simd::load(score), base), exponents));
      simd::store(score, weight);
      total = simd::add(total, weight);
    }
    P sum = simd::load(state.sum + lane);
    if (rose) {
      const P shrink = simd::exp2<T>(
          simd::multiply(simd::subtract(simd::load(state.maximum + lane), base), exponents));
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

// lse = ln Σ e^(natural · score), −∞ where nothing was seen.
template <class T>
T log_sum_exp(T maximum, T sum, T natural) {
  return sum == 0 ? -std::numeric_limits<T>::infinity() : maximum * natural + std::log(sum);
}

// What sums of weighted values are multiplied by at the end; 0 where nothing was seen.
template <class T>
T normalizer(T sum, T factor) {
  return sum == 0 ? T{0} : factor / sum;
}

// Merges `parts` states of one row, in their order: factors[part] is what each part's out counts.
template <class T>
void merge_rows(const T* const* maxima, const T* const* sums, std::ptrdiff_t parts,
                std::ptrdiff_t row, T exponent, T* factors, T& maximum, T& sum) {
  maximum = -std::numeric_limits<T>::infinity();
  for (std::ptrdiff_t part = 0; part < parts; ++part) {
    maximum = std::max(maximum, maxima[part][row]);
  }
  sum = 0;
  for (std::ptrdiff_t part = 0; part < parts; ++part) {
    // a part that saw nothing counts nothing; −∞ − (−∞) would be NaN
    factors[part] =
        sums[part][row] == 0 ? T{0} : std::exp2((maxima[part][row] - maximum) * exponent);
    sum += factors[part] * sums[part][row];
  }
}

}  // namespace heedful
