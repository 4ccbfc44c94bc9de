// Where a list of candidates is cut: the number that just enough scores exceed.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

#include "attention/problem/minus_infinity.hpp"
#include "simd/float_order.hpp"
#include "simd/lane_mask.hpp"
#include "simd/packet.hpp"

namespace heedful {

template <class T>
class CutSearch {
 public:
  // scores (count), filled up with −∞ to whole vectors. −∞ does not count, NaN exceeds every
  // number. At least k scores exceed the cut, and at most max_count ≥ k of them if they differ; all
  // of them if there are no more.
  CutSearch(const T* scores, std::ptrdiff_t count, std::ptrdiff_t k, std::ptrdiff_t max_count)
      : scores_(scores), count_(count), k_(k), max_count_(max_count) {
    find_extremes();
    for (int step = 0; above_low_ > max_count_ && high_ > low_ + 1; ++step) {
      const Order number = between(step);
      const std::ptrdiff_t found = above(number_of(number));
      (found >= k ? low_ : high_) = number;
      (found >= k ? above_low_ : above_high_) = found;
    }
  }

  // Candidates that do not exceed it are none of the k best.
  T cut() const { return number_of(low_); }
  // What a later score must exceed: k scores reach it.
  T threshold() const {
    return above_low_ >= k_ ? number_of(std::min(low_ + 1, infinity_)) : minus_infinity<T>;
  }
  // If more than max_count exceed the cut, all of them that are not above `tie` equal it, and the
  // first `ties` of these are among the k best. A tie of NaN: they all are NaN.
  bool has_ties() const { return above_low_ > max_count_; }
  T tie() const {
    return high_ > infinity_ ? std::numeric_limits<T>::quiet_NaN() : number_of(high_);
  }
  std::ptrdiff_t ties() const { return k_ - above_high_; }

 private:
  using P = simd::Packet<T>;
  using Order = simd::Order<T>;
  static constexpr std::ptrdiff_t width = simd::lanes<T>;
  const Order infinity_ = simd::order_of(-minus_infinity<T>);

  static T number_of(Order order) { return simd::number_of<T>(order); }

  // The number of scores that exceed a number.
  std::ptrdiff_t above(T number) const {
    const P numbers = simd::broadcast(number);
    std::ptrdiff_t found = 0;
    for (std::ptrdiff_t i = 0; i < count_; i += width) {
      found += __builtin_popcount(simd::above_or_nan(simd::load(scores_ + i), numbers));
    }
    return found;
  }

  // The bounds of the cut: below the lowest visible score, and the highest one.
  void find_extremes() {
    const P minus_infinities = simd::broadcast(minus_infinity<T>);
    const P infinities = simd::broadcast(-minus_infinity<T>);
    P maxima = minus_infinities, minima = infinities;
    std::ptrdiff_t visible = 0, nan = 0;
    for (std::ptrdiff_t i = 0; i < count_; i += width) {
      const P score = simd::load(scores_ + i);
      visible += __builtin_popcount(simd::above_or_nan(score, minus_infinities));
      nan += __builtin_popcount(simd::above_or_nan(score, infinities));
      // both ignore NaN
      maxima = simd::maximum(maxima, score);
      minima = simd::minimum(minima,
                             simd::select(simd::equal(score, minus_infinities), infinities, score));
    }
    low_ = simd::order_of(simd::min_lane(minima)) - 1;
    if (low_ == simd::order_of(T(-0.0))) --low_;  // which 0 does not exceed
    high_ = std::max(simd::order_of(simd::max_lane(maxima)), low_ + 1);
    above_low_ = visible;
    above_high_ = nan;
    if (nan >= k_) {  // they alone are among the k best
      low_ = infinity_;
      high_ = infinity_ + 1;
      above_low_ = nan;
      above_high_ = 0;
    }
  }

  // A number between the bounds. Scores are spread like numbers more than like their integers: the
  // one that as many as are wanted would exceed if they were spread evenly. Every fourth step
  // halves the integers, so that there are few steps in any case.
  Order between(int step) const {
    if (step % 4 != 3) {
      const T low = number_of(low_), high = number_of(high_);
      const auto surplus = static_cast<T>(above_low_ - (k_ + max_count_) / 2);
      const T number = low + (high - low) * (surplus / static_cast<T>(above_low_ - above_high_));
      if (low < number && number < high) return simd::order_of(number);
    }
    return simd::middle(low_, high_);
  }

  const T* scores_;
  std::ptrdiff_t count_, k_, max_count_;
  Order low_, high_;
  std::ptrdiff_t above_low_, above_high_;  // at least k if there are as many; fewer
};

}  // namespace heedful
