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

// The keep masks of a panel, drawn for four keys at a time.
template <class T>
class PanelKeepMasks {
 public:
  static constexpr int width = simd::word_lanes;  // lanes per draw

  PanelKeepMasks(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel)
      : keys_(problem.seed), min_kept_(Words{} + threshold(problem)) {
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

  // keep_mask[key mod 4][i]: all ones where lane `lane` + i keeps the key, for the four keys from
  // `key`
  void draw(std::ptrdiff_t key, int lane, Words (&keep_mask)[4]) const {
    lanes_[lane / width].draw(static_cast<std::uint32_t>(key >> 2), keys_, keep_mask);
    for (Words& words : keep_mask) words = words >= min_kept_ ? ~Words{} : Words{};
  }

 private:
  simd::PhiloxKeys keys_;
  Words min_kept_;
  simd::PhiloxLanes lanes_[(Panel<T>::max_lanes + width - 1) / width];
};

// Calls apply(row, lanes, keep_mask) with the address of each key's next `lanes` weights, at most
// `width`.
template <class T, class Apply>
void for_keep_masks(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                    KeyRange keys, T* weights, const Apply& apply) {
  constexpr int width = PanelKeepMasks<T>::width;
  const PanelKeepMasks<T> panel_masks(problem, item, panel);
  const int lanes = panel.lanes();
  Words keep_mask[4];
  for (std::ptrdiff_t first = keys.begin & ~std::ptrdiff_t{3}; first < keys.end; first += 4) {
    const std::ptrdiff_t begin = std::max(first, keys.begin), end = std::min(first + 4, keys.end);
    for (int lane = 0; lane < lanes; lane += width) {
      panel_masks.draw(first, lane, keep_mask);
      for (std::ptrdiff_t key = begin; key < end; ++key) {
        apply(weights + (key - keys.begin) * lanes + lane, std::min(width, lanes - lane),
              keep_mask[key - first]);
      }
    }
  }
}

}  // namespace

template <class T>
void apply_dropout(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                   KeyRange keys, T factor, T* weights) {
  for_keep_masks(
      problem, item, panel, keys, weights, [&](T* row, int lanes, const Words& keep_mask) {
        if constexpr (simd::lanes<T> == simd::word_lanes) {
          // a selection, not a product: a dropped NaN is 0
          const auto scaled = simd::multiply(simd::load(row), simd::broadcast(factor));
          simd::store(row, simd::both(simd::bits_as<simd::Packet<T>>(keep_mask), scaled));
        } else {
          for (int i = 0; i < lanes; ++i) row[i] = keep_mask[i] ? row[i] * factor : T{0};
        }
      });
}

template <class T>
void write_keep_factors(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                        KeyRange keys, T factor, T* factors) {
  for_keep_masks(
      problem, item, panel, keys, factors, [&](T* row, int lanes, const Words& keep_mask) {
        if constexpr (simd::lanes<T> == simd::word_lanes) {
          simd::store(
              row, simd::both(simd::bits_as<simd::Packet<T>>(keep_mask), simd::broadcast(factor)));
        } else {
          for (int i = 0; i < lanes; ++i) row[i] = keep_mask[i] ? factor : T{0};
        }
      });
}

template <class T>
void apply_dropout_row(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                       std::ptrdiff_t query, KeyRange keys, T factor, T* weights) {
  constexpr int counters = simd::word_lanes;  // per draw
  const std::uint32_t min_kept = threshold(problem);
  const simd::PhiloxKeys philox_keys(problem.seed);
  for (std::ptrdiff_t key = keys.begin & ~std::ptrdiff_t{3}; key < keys.end; key += 4 * counters) {
    Words words[4];
    for (int i = 0; i < counters; ++i) words[0][i] = static_cast<std::uint32_t>((key >> 2) + i);
    words[1] = Words{} + static_cast<std::uint32_t>(query);
    words[2] = Words{} + static_cast<std::uint32_t>(head);
    words[3] = Words{} + static_cast<std::uint32_t>(item);
    simd::philox(words, philox_keys);
    const std::ptrdiff_t end = std::min(keys.end, key + 4 * counters);
    for (std::ptrdiff_t at = std::max(key, keys.begin); at < end; ++at) {
      T& weight = weights[at - keys.begin];
      weight = words[(at - key) & 3][(at - key) >> 2] >= min_kept ? weight * factor : T{0};
    }
  }
}

template <class T>
void apply_dropout_keys(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                        std::ptrdiff_t query, const KeyIndex* keys, std::ptrdiff_t count, T factor,
                        T* weights) {
  constexpr std::ptrdiff_t counters = simd::word_lanes;  // per draw
  const std::uint32_t min_kept = threshold(problem);
  const simd::PhiloxKeys philox_keys(problem.seed);
  for (std::ptrdiff_t begin = 0; begin < count; begin += counters) {
    const std::ptrdiff_t own = std::min(counters, count - begin);
    Words words[4]{};
    for (std::ptrdiff_t i = 0; i < own; ++i) {
      words[0][i] = static_cast<std::uint32_t>(keys[begin + i]) >> 2;
    }
    words[1] = Words{} + static_cast<std::uint32_t>(query);
    words[2] = Words{} + static_cast<std::uint32_t>(head);
    words[3] = Words{} + static_cast<std::uint32_t>(item);
    simd::philox(words, philox_keys);
    for (std::ptrdiff_t i = 0; i < own; ++i) {
      T& weight = weights[begin + i];
      weight = words[keys[begin + i] & 3][i] >= min_kept ? weight * factor : T{0};
    }
  }
}

template void apply_dropout(const Problem&, std::ptrdiff_t, const Panel<float>&, KeyRange, float,
                            float*);
template void apply_dropout(const Problem&, std::ptrdiff_t, const Panel<double>&, KeyRange, double,
                            double*);
template void write_keep_factors(const Problem&, std::ptrdiff_t, const Panel<float>&, KeyRange,
                                 float, float*);
template void write_keep_factors(const Problem&, std::ptrdiff_t, const Panel<double>&, KeyRange,
                                 double, double*);
template void apply_dropout_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                                KeyRange, float, float*);
template void apply_dropout_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                                KeyRange, double, double*);
template void apply_dropout_keys(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                                 const KeyIndex*, std::ptrdiff_t, float, float*);
template void apply_dropout_keys(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                                 const KeyIndex*, std::ptrdiff_t, double, double*);

}  // namespace heedful
