// Gumbel noise and dropout of keys: tiles, rows and lists of keys agree with the counters, for any
// range of keys, and draw words of their own.
#include <cmath>
#include <cstdint>
#include <vector>

#include "attention/problem/minus_infinity.hpp"
#include "attention/problem/random_words.hpp"
#include "attention/scores/gumbel_noise.hpp"
#include "attention/scores/key_dropout.hpp"
#include "check.hpp"
#include "philox_words.hpp"

namespace heedful {
namespace {

constexpr std::uint64_t seed = 0x123456789ABCDEF0;
constexpr KeyRange ranges[] = {{0, 4},  {0, 1},    {1, 4}, {3, 5},   {5, 6},
                               {2, 71}, {63, 130}, {0, 0}, {40, 107}};

Problem problem_of(const Item& item) {
  Problem problem;
  problem.num_items = 1;
  problem.num_heads = problem.num_kv_heads = 3;
  problem.items = &item;
  problem.seed = seed;
  problem.key_dropout_p = 0.3;
  problem.gumbel_temperature = 0.5;
  return problem;
}

// `stream`: that of the noise is 1, of the dropout of keys 2.
std::uint32_t word_of(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t query,
                      std::ptrdiff_t key, std::uint32_t stream) {
  const PhiloxWords words = philox_words(
      {static_cast<std::uint32_t>(key / 4), static_cast<std::uint32_t>(query),
       static_cast<std::uint32_t>(head), static_cast<std::uint32_t>(item) + stream * 0x40000000u},
      seed);
  return words[static_cast<std::size_t>(key % 4)];
}

double noise_of(std::uint32_t word) {
  const double u = (static_cast<double>(word >> 1) + 0.5) * 0x1p-31;
  return -std::log(-std::log1p(-(1 - u)));
}

template <class T>
T score_of(std::ptrdiff_t key, std::ptrdiff_t lane) {
  return T(1) + T(key) / 8 + T(lane) / 1024;
}

// Whether score is `before`, plus noise in units of 1/4, or hidden.
template <class T>
bool is_noisy(T score, T before, std::uint32_t word) {
  const double expected = static_cast<double>(before) + 0.25 * noise_of(word);
  return std::abs(static_cast<double>(score) - expected) <=
         8 * static_cast<double>(std::numeric_limits<T>::epsilon()) * (1 + std::abs(expected));
}
template <class T>
bool is_dropped_or_same(T score, T before, std::uint32_t word) {
  return score == (word >= std::nearbyint(0.3 * 0x1p32) ? before : minus_infinity<T>);
}

template <class T>
void tiles_follow_the_counters() {
  const Item item{0, 1000, 0, 130, 0};
  const Problem problem = problem_of(item);
  for (int vectors = 1; vectors <= max_vectors; ++vectors) {
    Panel<T> panel;
    const int count = vectors * simd::lanes<T> - 1;
    for (int lane = 0; lane < count; ++lane) {
      set_lane(panel, lane, problem, item, lane % 3, 7 * lane);
    }
    finish_panel(panel, problem, item, count);
    const int lanes = panel.lanes();
    for (const KeyRange keys : ranges) {
      std::vector<T> noisy(static_cast<std::size_t>(keys.size() * lanes + 1), T(-77));
      for (std::ptrdiff_t i = 0; i < keys.size() * lanes; ++i) {
        noisy[static_cast<std::size_t>(i)] = score_of<T>(keys.begin + i / lanes, i % lanes);
      }
      std::vector<T> dropped = noisy;
      add_gumbel_noise(problem, 5, panel, keys, T(0.25), noisy.data());
      drop_keys(problem, 5, panel, keys, dropped.data());
      bool right_noise = noisy.back() == T(-77), right_keys = dropped.back() == T(-77);
      for (std::ptrdiff_t i = 0; i < keys.size() * lanes; ++i) {
        const std::ptrdiff_t key = keys.begin + i / lanes, lane = i % lanes;
        const auto word = [&](std::uint32_t stream) {
          return word_of(5, panel.head[lane], panel.query[lane], key, stream);
        };
        const T before = score_of<T>(key, lane);
        right_noise &= is_noisy(noisy[static_cast<std::size_t>(i)], before, word(1));
        right_keys &= is_dropped_or_same(dropped[static_cast<std::size_t>(i)], before, word(2));
      }
      check(right_noise, "the noise of a tile is that of counter (key / 4, query, head, item)");
      check(right_keys, "keys of a tile are dropped likewise");
    }
  }
}

template <class T>
void rows_follow_the_counters() {
  const Item item{0, 1000, 0, 130, 0};
  const Problem problem = problem_of(item);
  for (const KeyRange keys : ranges) {
    std::vector<T> noisy(static_cast<std::size_t>(keys.size() + 1), T(-77));
    for (std::ptrdiff_t i = 0; i < keys.size(); ++i) {
      noisy[static_cast<std::size_t>(i)] = score_of<T>(keys.begin + i, 0);
    }
    std::vector<T> dropped = noisy;
    add_gumbel_noise(problem, 5, 2, 941, keys, T(0.25), noisy.data());
    drop_keys(problem, 5, 2, 941, keys, dropped.data());
    bool right_noise = noisy.back() == T(-77), right_keys = dropped.back() == T(-77);
    for (std::ptrdiff_t i = 0; i < keys.size(); ++i) {
      const std::ptrdiff_t key = keys.begin + i;
      const T before = score_of<T>(key, 0);
      right_noise &=
          is_noisy(noisy[static_cast<std::size_t>(i)], before, word_of(5, 2, 941, key, 1));
      right_keys &= is_dropped_or_same(dropped[static_cast<std::size_t>(i)], before,
                                       word_of(5, 2, 941, key, 2));
    }
    check(right_noise, "the noise of a row is that of a tile");
    check(right_keys, "keys of a row are dropped as those of a tile");
  }
}

template <class T>
void lists_follow_the_counters() {
  const Item item{0, 1000, 0, 130, 0};
  const Problem problem = problem_of(item);
  for (const std::ptrdiff_t count : {0, 1, 7, 16, 17, 40}) {
    std::vector<KeyIndex> keys;
    std::vector<T> scores;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      keys.push_back(static_cast<KeyIndex>(i * 3 + i % 5));
      scores.push_back(score_of<T>(keys.back(), 0));
    }
    scores.push_back(T(-77));
    add_gumbel_noise(problem, 5, 2, 941, keys.data(), count, T(0.25), scores.data());
    bool right = scores.back() == T(-77);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      right &= is_noisy(scores[i], score_of<T>(keys[i], 0), word_of(5, 2, 941, keys[i], 1));
    }
    check(right, "the noise of listed keys is that of a row");
  }
}

void streams_are_apart() {
  const std::uint32_t dropout = item_word(7, RandomStream::dropout);
  const std::uint32_t gumbel = item_word(7, RandomStream::gumbel);
  const std::uint32_t keys = item_word(7, RandomStream::key_dropout);
  check(dropout == 7 && gumbel == 0x40000007u && keys == 0x80000007u,
        "dropout, noise and dropout of keys have counters of their own");
}

template <class T>
void everything() {
  tiles_follow_the_counters<T>();
  rows_follow_the_counters<T>();
  lists_follow_the_counters<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::streams_are_apart();
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
