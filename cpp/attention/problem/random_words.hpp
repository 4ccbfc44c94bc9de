// Random words of the pairs of a query and a key, as functions of the seed and of (item, head,
// query, key) alone: every tile draws its own, in forward and again in backward, for any number of
// threads.
//   Philox counter (key / 4, query, head, item + stream · 2^30); output word key mod 4
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "attention/problem/key_index.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"
#include "simd/philox.hpp"

namespace heedful {

// What draws from one seed draws independent words.
enum class RandomStream : std::uint32_t { dropout = 0, gumbel = 1, key_dropout = 2 };

// Word 3 of the counters of an item.
inline std::uint32_t item_word(std::ptrdiff_t item, RandomStream stream) {
  return static_cast<std::uint32_t>(item) + (static_cast<std::uint32_t>(stream) << 30);
}

// The words of a panel, drawn for four keys at a time.
template <class T>
class PanelWords {
 public:
  static constexpr int width = simd::word_lanes;  // lanes per draw

  PanelWords(std::uint64_t seed, RandomStream stream, std::ptrdiff_t item, const Panel<T>& panel)
      : keys_(seed) {
    for (int lane = 0; lane < panel.lanes(); lane += width) {
      simd::Words queries{}, heads{};
      for (int i = 0; i < width; ++i) {
        const int from = std::min(lane + i, panel.lanes() - 1);
        queries[i] = static_cast<std::uint32_t>(panel.query[from]);
        heads[i] = static_cast<std::uint32_t>(panel.head[from]);
      }
      lanes_[lane / width] = simd::PhiloxLanes(queries, heads, item_word(item, stream), keys_);
    }
  }

  // words[key mod 4][i]: of lane `lane` + i, for the four keys from `key`
  void draw(std::ptrdiff_t key, int lane, simd::Words (&words)[4]) const {
    lanes_[lane / width].draw(static_cast<std::uint32_t>(key >> 2), keys_, words);
  }

 private:
  simd::PhiloxKeys keys_;
  simd::PhiloxLanes lanes_[(Panel<T>::max_lanes + width - 1) / width];
};

// Calls apply(group, lane, words) for groups of four keys, of which those outside `keys` are not to
// be used: words[i] are the next PanelWords<T>::width lanes of key group + i.
template <class T, class Apply>
void for_panel_groups(std::uint64_t seed, RandomStream stream, std::ptrdiff_t item,
                      const Panel<T>& panel, KeyRange keys, const Apply& apply) {
  const PanelWords<T> panel_words(seed, stream, item, panel);
  simd::Words words[4];
  for (std::ptrdiff_t group = keys.begin & ~std::ptrdiff_t{3}; group < keys.end; group += 4) {
    for (int lane = 0; lane < panel.lanes(); lane += PanelWords<T>::width) {
      panel_words.draw(group, lane, words);
      apply(group, lane, words);
    }
  }
}

// Calls apply(row, lanes, words) with the address of each key's next `lanes` elements of
// to[key − keys.begin][lane], at most PanelWords<T>::width.
template <class T, class Apply>
void for_panel_words(std::uint64_t seed, RandomStream stream, std::ptrdiff_t item,
                     const Panel<T>& panel, KeyRange keys, T* to, const Apply& apply) {
  const int lanes = panel.lanes();
  for_panel_groups(seed, stream, item, panel, keys,
                   [&](std::ptrdiff_t group, int lane, const simd::Words(&words)[4]) {
                     const std::ptrdiff_t end = std::min(group + 4, keys.end);
                     for (std::ptrdiff_t key = std::max(group, keys.begin); key < end; ++key) {
                       apply(to + (key - keys.begin) * lanes + lane,
                             std::min(PanelWords<T>::width, lanes - lane), words[key - group]);
                     }
                   });
}

// The pairs of one query.
struct RowWords {
  simd::PhiloxKeys keys;
  simd::Words query, head, item;

  RowWords(std::uint64_t seed, RandomStream stream, std::ptrdiff_t item_index,
           std::ptrdiff_t head_index, std::ptrdiff_t query_index)
      : keys(seed),
        query(simd::Words{} + static_cast<std::uint32_t>(query_index)),
        head(simd::Words{} + static_cast<std::uint32_t>(head_index)),
        item(simd::Words{} + item_word(item_index, stream)) {}

  // words[0]: key / 4 of each lane, replaced by the words of four keys
  void draw(simd::Words (&words)[4]) const {
    words[1] = query;
    words[2] = head;
    words[3] = item;
    simd::philox(words, keys);
  }
};

// Calls apply(index, word) with the word of each key, index = key − keys.begin.
template <class Apply>
void for_row_words(const RowWords& row, KeyRange keys, const Apply& apply) {
  constexpr int counters = simd::word_lanes;  // per draw
  for (std::ptrdiff_t key = keys.begin & ~std::ptrdiff_t{3}; key < keys.end; key += 4 * counters) {
    simd::Words words[4];
    for (int i = 0; i < counters; ++i) words[0][i] = static_cast<std::uint32_t>((key >> 2) + i);
    row.draw(words);
    const std::ptrdiff_t end = std::min(keys.end, key + 4 * counters);
    for (std::ptrdiff_t at = std::max(key, keys.begin); at < end; ++at) {
      apply(at - keys.begin, words[(at - key) & 3][(at - key) >> 2]);
    }
  }
}

// ... for a list of keys: index is that of the list.
template <class Apply>
void for_row_words(const RowWords& row, const KeyIndex* keys, std::ptrdiff_t count,
                   const Apply& apply) {
  constexpr std::ptrdiff_t counters = simd::word_lanes;  // per draw
  for (std::ptrdiff_t begin = 0; begin < count; begin += counters) {
    const std::ptrdiff_t own = std::min(counters, count - begin);
    simd::Words words[4]{};
    for (std::ptrdiff_t i = 0; i < own; ++i) {
      words[0][i] = static_cast<std::uint32_t>(keys[begin + i]) >> 2;
    }
    row.draw(words);
    for (std::ptrdiff_t i = 0; i < own; ++i) apply(begin + i, words[keys[begin + i] & 3][i]);
  }
}

// A word is kept by a dropout with probability p if it is at least this: p · 2^32.
inline std::uint32_t min_kept_word(double p) {
  const double words = std::nearbyint(p * 4294967296.0);
  return words >= 4294967295.0 ? 4294967295u : static_cast<std::uint32_t>(words);
}

}  // namespace heedful
