#include "attention/dropout.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace heedful {
namespace {

using simd::Words;

std::uint32_t threshold(const Problem& problem) {
  const double words = std::nearbyint(problem.dropout_p * 4294967296.0);
  return words >= 4294967295.0 ? 4294967295u : static_cast<std::uint32_t>(words);
}

}  // namespace

template <class T>
PanelDropout<T>::PanelDropout(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                              T factor)
    : keys_(problem.seed), least_(Words{} + threshold(problem)), factor_(factor) {
  for (int lane = 0; lane < panel.lanes(); lane += width) {
    Words queries{}, heads{};
    for (int i = 0; i < width; ++i) {
      const int from = std::min(lane + i, panel.lanes() - 1);
      queries[i] = static_cast<std::uint32_t>(panel.query[from]);
      heads[i] = static_cast<std::uint32_t>(panel.head[from]);
    }
    lanes_[lane / width] =
        simd::PhiloxLanes(queries, heads, static_cast<std::uint32_t>(item), keys_);
  }
}

template <class T>
void PanelDropout<T>::draw(std::ptrdiff_t key, int lane, T (&kept)[4][width]) const {
  Words words[4];
  lanes_[lane / width].draw(static_cast<std::uint32_t>(key >> 2), keys_, words);
  for (int word = 0; word < 4; ++word) {
    if constexpr (sizeof(T) == sizeof(std::uint32_t)) {
      const Words factors = Words{} + simd::bits_as<std::uint32_t>(factor_);
      const Words bits = words[word] >= least_ ? factors : Words{};
      simd::store(kept[word], simd::bits_as<simd::Packet<T>>(bits));
    } else {
      for (int i = 0; i < width; ++i) kept[word][i] = words[word][i] >= least_[i] ? factor_ : T{0};
    }
  }
}

template <class T>
void drop(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel, KeyRange keys,
          T factor, T* weights) {
  const PanelDropout<T> dropout(problem, item, panel, factor);
  constexpr int width = PanelDropout<T>::width;
  const auto zero = simd::broadcast(T{0});
  const int lanes = panel.lanes();
  alignas(64) T kept[4][width];
  for (std::ptrdiff_t first = keys.begin & ~std::ptrdiff_t{3}; first < keys.end; first += 4) {
    const std::ptrdiff_t begin = std::max(first, keys.begin), end = std::min(first + 4, keys.end);
    for (int lane = 0; lane < lanes; lane += width) {
      dropout.draw(first, lane, kept);
      for (std::ptrdiff_t key = begin; key < end; ++key) {
        T* const row = weights + (key - keys.begin) * lanes + lane;
        for (int i = 0; i < std::min(width, lanes - lane); i += simd::lanes<T>) {
          const auto factors = simd::load(kept[key - first] + i);
          // selected, not multiplied: a dropped NaN is 0
          simd::store(row + i, simd::select(simd::equal(factors, zero), zero,
                                            simd::multiply(simd::load(row + i), factors)));
        }
      }
    }
  }
}

template <class T>
void drop_row(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
              std::ptrdiff_t query, KeyRange keys, T factor, T* weights) {
  constexpr int drawn = simd::word_lanes;  // counters at a time
  const std::uint32_t least = threshold(problem);
  const simd::PhiloxKeys philox_keys(problem.seed);
  for (std::ptrdiff_t key = keys.begin & ~std::ptrdiff_t{3}; key < keys.end; key += 4 * drawn) {
    Words words[4];
    for (int i = 0; i < drawn; ++i) words[0][i] = static_cast<std::uint32_t>((key >> 2) + i);
    words[1] = Words{} + static_cast<std::uint32_t>(query);
    words[2] = Words{} + static_cast<std::uint32_t>(head);
    words[3] = Words{} + static_cast<std::uint32_t>(item);
    simd::philox(words, philox_keys);
    const std::ptrdiff_t end = std::min(keys.end, key + 4 * drawn);
    for (std::ptrdiff_t at = std::max(key, keys.begin); at < end; ++at) {
      T& weight = weights[at - keys.begin];
      weight = words[(at - key) & 3][(at - key) >> 2] >= least ? weight * factor : T{0};
    }
  }
}

template class PanelDropout<float>;
template class PanelDropout<double>;
template void drop(const Problem&, std::ptrdiff_t, const Panel<float>&, KeyRange, float, float*);
template void drop(const Problem&, std::ptrdiff_t, const Panel<double>&, KeyRange, double, double*);
template void drop_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                       float, float*);
template void drop_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                       double, double*);

}  // namespace heedful
