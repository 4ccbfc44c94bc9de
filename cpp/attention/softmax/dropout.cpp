#include "attention/softmax/dropout.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "simd/philox.hpp"

namespace heedful {
namespace {

using simd::Words;

std::uint32_t threshold(const Problem& problem) {
  const double words = std::nearbyint(problem.dropout_p * 4294967296.0);
  return words >= 4294967295.0 ? 4294967295u : static_cast<std::uint32_t>(words);
}

// The words of a panel's counters, four keys at a time.
template <class T>
class PanelWords {
 public:
  static constexpr int width = simd::word_lanes;  // lanes drawn at a time

  PanelWords(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel)
      : keys_(problem.seed), least_(Words{} + threshold(problem)) {
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

  // kept[key mod 4][i]: all ones where lane `lane` + i keeps the key, of the four from `key` on
  void draw(std::ptrdiff_t key, int lane, Words (&kept)[4]) const {
    lanes_[lane / width].draw(static_cast<std::uint32_t>(key >> 2), keys_, kept);
    for (Words& words : kept) words = words >= least_ ? ~Words{} : Words{};
  }

 private:
  simd::PhiloxKeys keys_;
  Words least_;
  simd::PhiloxLanes lanes_[(Panel<T>::max_lanes + width - 1) / width];
};

// Calls put(row, lanes, kept) with the place of each key's next `lanes` weights, at most width.
template <class T, class Put>
void for_kept(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel, KeyRange keys,
              T* weights, const Put& put) {
  constexpr int width = PanelWords<T>::width;
  const PanelWords<T> panel_words(problem, item, panel);
  const int lanes = panel.lanes();
  Words kept[4];
  for (std::ptrdiff_t four = keys.begin & ~std::ptrdiff_t{3}; four < keys.end; four += 4) {
    const std::ptrdiff_t begin = std::max(four, keys.begin), end = std::min(four + 4, keys.end);
    for (int lane = 0; lane < lanes; lane += width) {
      panel_words.draw(four, lane, kept);
      for (std::ptrdiff_t key = begin; key < end; ++key) {
        put(weights + (key - keys.begin) * lanes + lane, std::min(width, lanes - lane),
            kept[key - four]);
      }
    }
  }
}

}  // namespace

template <class T>
void drop(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel, KeyRange keys,
          T factor, T* weights) {
  for_kept(problem, item, panel, keys, weights, [&](T* row, int lanes, const Words& kept) {
    if constexpr (simd::lanes<T> == simd::word_lanes) {
      // selected, not multiplied: a dropped NaN is 0
      const auto grown = simd::multiply(simd::load(row), simd::broadcast(factor));
      simd::store(row, simd::both(simd::bits_as<simd::Packet<T>>(kept), grown));
    } else {
      for (int i = 0; i < lanes; ++i) row[i] = kept[i] ? row[i] * factor : T{0};
    }
  });
}

template <class T>
void keep(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel, KeyRange keys,
          T factor, T* factors) {
  for_kept(problem, item, panel, keys, factors, [&](T* row, int lanes, const Words& kept) {
    if constexpr (simd::lanes<T> == simd::word_lanes) {
      simd::store(row, simd::both(simd::bits_as<simd::Packet<T>>(kept), simd::broadcast(factor)));
    } else {
      for (int i = 0; i < lanes; ++i) row[i] = kept[i] ? factor : T{0};
    }
  });
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

template void drop(const Problem&, std::ptrdiff_t, const Panel<float>&, KeyRange, float, float*);
template void drop(const Problem&, std::ptrdiff_t, const Panel<double>&, KeyRange, double, double*);
template void keep(const Problem&, std::ptrdiff_t, const Panel<float>&, KeyRange, float, float*);
template void keep(const Problem&, std::ptrdiff_t, const Panel<double>&, KeyRange, double, double*);
template void drop_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                       float, float*);
template void drop_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                       double, double*);

}  // namespace heedful
