#include "attention/forward/top_k/candidates.hpp"

#include <algorithm>
#include <numeric>

#include "arrays/panel_transposes.hpp"
#include "arrays/rows.hpp"
#include "attention/forward/top_k/cut_search.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "simd/compress.hpp"
#include "simd/lane_mask.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// Keys that are added before the lists are checked for being full.
constexpr std::ptrdiff_t batch_keys = 64;

// Lists of twice k are cut rarely, and their thresholds are not far from the k-th score.
std::ptrdiff_t full_count(std::ptrdiff_t k) { return 2 * k + 16; }
std::ptrdiff_t cut_count(std::ptrdiff_t k) { return k + k / 8; }

// The first keys are copied without a comparison: few would be below a threshold.
std::ptrdiff_t copied_count(std::ptrdiff_t k) {
  return std::max<std::ptrdiff_t>(256, full_count(k));
}

template <class T>
std::ptrdiff_t stride_of(std::ptrdiff_t k) {
  constexpr std::ptrdiff_t line = 16;  // elements of 4 bytes
  const std::ptrdiff_t count = std::max(copied_count(k), full_count(k) + batch_keys);
  const std::ptrdiff_t lines = (count + simd::lanes<T> + line - 1) / line;
  return (lines | 1) * line;  // an odd number, so that the lists are in different sets of L1
}

// Keeps the elements of a list of which keeps(score) is true. Returns their number.
template <class T, class Keeps>
std::ptrdiff_t compact(T* scores, KeyIndex* keys, std::ptrdiff_t count, const Keeps& keeps) {
  std::ptrdiff_t kept = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    scores[kept] = scores[i];
    keys[kept] = keys[i];
    kept += keeps(scores[i]);
  }
  return kept;
}

}  // namespace

template <class T>
Candidates<T>::Candidates(std::ptrdiff_t k, WorkArea& area)
    : k_(k),
      stride_(stride_of<T>(k)),
      scores_(area.take<T>(max_lanes * stride_)),
      keys_(area.take<KeyIndex>(max_lanes * stride_)),
      thresholds_(area.take<T>(max_lanes)),
      counts_(area.take<std::int32_t>(max_lanes)) {}

template <class T>
std::ptrdiff_t Candidates<T>::bytes(std::ptrdiff_t k) {
  return max_lanes * stride_of<T>(k) * static_cast<std::ptrdiff_t>(sizeof(T) + sizeof(KeyIndex));
}

template <class T>
void Candidates<T>::start(const Panel<T>& panel) {
  lanes_ = panel.lanes();
  rows_ = panel.count;
  copies_ = true;
  std::fill_n(counts_, lanes_, 0);
  std::fill_n(thresholds_, lanes_, minus_infinity<T>);
}

template <class T>
void Candidates<T>::add(const T* scores, KeyRange keys) {
  if (copies_) {
    const std::ptrdiff_t copied = copy(scores, keys);
    if (counts_[0] < copied_count(k_)) return;
    copies_ = false;
    for (int lane = 0; lane < rows_; ++lane) cut(lane, cut_count(k_));
    scores += copied * lanes_;
    keys.begin += copied;
  }
  for (std::ptrdiff_t begin = keys.begin; begin < keys.end; begin += batch_keys) {
    const std::ptrdiff_t end = std::min(begin + batch_keys, keys.end);
    for (std::ptrdiff_t key = begin; key < end; key += width) {
      const KeyRange square{key, std::min<std::ptrdiff_t>(key + width, end)};
      for (int first = 0; first < rows_; first += width) add_square(first, scores + first, square);
      scores += square.size() * lanes_;
    }
    for (int lane = 0; lane < rows_; ++lane) {
      if (counts_[lane] >= full_count(k_)) cut(lane, cut_count(k_));
    }
  }
}

// Copies as many keys as the lists still have room for. Returns their number.
template <class T>
std::ptrdiff_t Candidates<T>::copy(const T* scores, KeyRange keys) {
  const std::ptrdiff_t before = counts_[0];
  const std::ptrdiff_t count = std::min(keys.size(), copied_count(k_) - before);
  alignas(64) T factors[max_lanes];
  T* to[max_lanes];
  for (int lane = 0; lane < lanes_; ++lane) {
    factors[lane] = 1;
    to[lane] = this->scores(lane) + before;
    KeyIndex* const to_keys = this->keys(lane) + before;
    std::iota(to_keys, to_keys + count, static_cast<KeyIndex>(keys.begin));
    counts_[lane] += static_cast<std::int32_t>(count);
  }
  panel_to_rows(scores, lanes_, count, factors, to);
  return count;
}

// Adds up to W keys to the lists of a vector of W lanes: transposed, the scores of each lane are a
// vector.
template <class T>
void Candidates<T>::add_square(int first, const T* scores, KeyRange keys) {
  const int rows = std::min(rows_ - first, width);
  const auto count = static_cast<int>(keys.size());
  const auto minus_infinities = simd::broadcast(minus_infinity<T>);
  simd::Square<T> square;
#pragma GCC unroll 16
  for (int i = 0; i < width; ++i) {
    square.packet[i] = i < count ? simd::load(scores + i * lanes_) : minus_infinities;
  }
  simd::transpose<T>(square);
  KeyIndex indices[width];
  std::iota(indices, indices + width, static_cast<KeyIndex>(keys.begin));
#pragma GCC unroll 16
  for (int i = 0; i < width; ++i) {
    if (i >= rows) break;
    const int lane = first + i;
    const auto mask = simd::above_or_nan(square.packet[i], simd::broadcast(thresholds_[lane]));
    const std::ptrdiff_t before = counts_[lane];
    counts_[lane] += static_cast<std::int32_t>(simd::compress_pairs<T>(
        square.packet[i], indices, mask, this->scores(lane) + before, this->keys(lane) + before));
  }
}

// Cuts a list to k keys, or to max_count if that takes less time.
template <class T>
void Candidates<T>::cut(int lane, std::ptrdiff_t max_count) {
  T* const scores = this->scores(lane);
  KeyIndex* const keys = this->keys(lane);
  const std::ptrdiff_t count = counts_[lane];
  std::fill(scores + count, scores + padded<T>(count), minus_infinity<T>);
  const CutSearch<T> search(scores, count, k_, max_count);
  const T cut = search.cut();
  std::ptrdiff_t kept = 0;
  if (search.has_ties()) {
    const T tie = search.tie();
    std::ptrdiff_t ties = search.ties();
    kept = compact(scores, keys, count, [&](T score) {
      const bool ties_here = score == tie || (tie != tie && score != score);
      return ties_here ? ties-- > 0 : !(score <= cut);
    });
  } else {
    const auto cuts = simd::broadcast(cut);
    for (std::ptrdiff_t i = 0; i < count; i += width) {
      const auto own = simd::load(scores + i);
      kept += simd::compress_pairs<T>(own, keys + i, simd::above_or_nan(own, cuts), scores + kept,
                                      keys + kept);
    }
  }
  counts_[lane] = static_cast<std::int32_t>(kept);
  thresholds_[lane] = std::max(thresholds_[lane], search.threshold());
}

template <class T>
void Candidates<T>::append(int lane, const T* scores, const KeyIndex* keys, std::ptrdiff_t count) {
  const std::ptrdiff_t before = counts_[lane];  // at most k, as is `count`
  std::copy_n(scores, count, this->scores(lane) + before);
  std::copy_n(keys, count, this->keys(lane) + before);
  counts_[lane] += static_cast<std::int32_t>(count);
  if (counts_[lane] > k_) cut(lane, k_);
}

template <class T>
void Candidates<T>::finish() {
  for (int lane = 0; lane < rows_; ++lane) cut(lane, k_);
}

template class Candidates<float>;
template class Candidates<double>;

}  // namespace heedful
