// The kept keys of a panel, against a stable sort of each lane's scores.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "attention/forward/top_k/candidates.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "check.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

// How scores are drawn.
enum class Scores {
  random,
  integers,  // many ties
  equal,
  rising,
  falling,
  large,  // of all magnitudes, infinities included
  some_hidden,
  most_hidden,
  some_nan,
  most_nan,
};

template <class T>
T draw(Scores kind, std::ptrdiff_t key, RandomNumbers& random) {
  constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  const auto once_in = [&](std::uint64_t count) { return random.bits() % count == 0; };
  const T number = static_cast<T>(random.between(-2, 2));
  switch (kind) {
    case Scores::random:
      return number;
    case Scores::integers:
      return std::round(number * 2);
    case Scores::equal:
      return 0;
    case Scores::rising:
      return static_cast<T>(key);
    case Scores::falling:
      return static_cast<T>(-key);
    case Scores::large: {
      const int limit = std::numeric_limits<T>::max_exponent - 1;
      const int exponent = static_cast<int>(random.bits() % static_cast<unsigned>(2 * limit));
      return once_in(50) ? -minus_infinity<T> : std::ldexp(number, exponent - limit);
    }
    case Scores::some_hidden:
      return once_in(4) ? minus_infinity<T> : number;
    case Scores::most_hidden:
      return once_in(40) ? number : minus_infinity<T>;
    case Scores::some_nan:
      return once_in(40) ? nan : number;
    case Scores::most_nan:
      return once_in(40) ? number : nan;
  }
  return 0;
}

// The keys that a stable sort puts first: NaN, then from high to low; without −∞.
template <class T>
std::vector<KeyIndex> sorted_first(const std::vector<T>& scores, std::ptrdiff_t k,
                                   KeyIndex first_key) {
  std::vector<KeyIndex> order;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (scores[i] != minus_infinity<T>) order.push_back(static_cast<KeyIndex>(i));
  }
  std::stable_sort(order.begin(), order.end(), [&](KeyIndex a, KeyIndex b) {
    const T x = scores[static_cast<std::size_t>(a)], y = scores[static_cast<std::size_t>(b)];
    if (std::isnan(x) || std::isnan(y)) return std::isnan(x) && !std::isnan(y);
    return x > y;
  });
  order.resize(std::min(order.size(), static_cast<std::size_t>(k)));
  std::sort(order.begin(), order.end());
  for (KeyIndex& key : order) key += first_key;
  return order;
}

struct Size {
  std::ptrdiff_t keys, k, tile;
};

template <class T>
void kept_keys_are_those_of_a_stable_sort(Scores kind, Size size, int vectors, int count,
                                          std::vector<std::byte>& memory) {
  constexpr KeyIndex first_key = 11;
  WorkArea sizes(nullptr);
  const Candidates<T> size_only(size.k, sizes);
  memory.resize(std::max(memory.size(), sizes.size() + 64));
  const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  WorkArea area(reinterpret_cast<std::byte*>((address + 63) / 64 * 64));
  Candidates<T> candidates(size.k, area);

  Panel<T> panel;
  panel.vectors = vectors;
  panel.count = count;
  const int lanes = panel.lanes();
  RandomNumbers random(static_cast<std::uint64_t>(size.keys * 1000 + size.k));
  std::vector<T> scores(static_cast<std::size_t>(size.keys * lanes));
  for (std::ptrdiff_t i = 0; i < size.keys * lanes; ++i) {
    scores[static_cast<std::size_t>(i)] = draw<T>(kind, i / lanes, random);
  }
  const auto select = [&](std::ptrdiff_t first, std::ptrdiff_t last) {
    candidates.start(panel);
    for (std::ptrdiff_t begin = first; begin < last; begin += size.tile) {
      const std::ptrdiff_t end = std::min(begin + size.tile, last);
      candidates.add(scores.data() + begin * lanes, {first_key + begin, first_key + end});
    }
    candidates.finish();
  };
  const auto check_kept = [&](const char* what) {
    bool right = true;
    for (int lane = 0; lane < count; ++lane) {
      std::vector<T> own;
      for (std::ptrdiff_t key = 0; key < size.keys; ++key) {
        own.push_back(scores[static_cast<std::size_t>(key * lanes + lane)]);
      }
      const std::vector<KeyIndex> expected = sorted_first(own, size.k, first_key);
      right &= candidates.count(lane) == static_cast<std::ptrdiff_t>(expected.size());
      for (std::size_t i = 0; i < expected.size() && right; ++i) {
        right &= candidates.keys(lane)[i] == expected[i];
        const T score = candidates.scores(lane)[i];
        const T given = own[static_cast<std::size_t>(expected[i] - first_key)];
        right &= score == given || (std::isnan(score) && std::isnan(given));
      }
    }
    if (!check(right, what)) {
      std::printf("scores %d, %td keys, %td kept, tiles of %td, %d of %d lanes\n",
                  static_cast<int>(kind), size.keys, size.k, size.tile, count, lanes);
    }
  };
  select(0, size.keys);
  check_kept("the kept keys are the first of a stable sort, in order");

  // of three parts of the keys, one after the other
  std::vector<T> part_scores[3];
  std::vector<KeyIndex> part_keys[3];
  std::vector<std::ptrdiff_t> counts[3];
  for (std::ptrdiff_t part = 0; part < 3; ++part) {
    select(size.keys * part / 3, size.keys * (part + 1) / 3);
    for (int lane = 0; lane < count; ++lane) {
      const std::ptrdiff_t kept = candidates.count(lane);
      counts[part].push_back(kept);
      part_scores[part].insert(part_scores[part].end(), candidates.scores(lane),
                               candidates.scores(lane) + kept);
      part_keys[part].insert(part_keys[part].end(), candidates.keys(lane),
                             candidates.keys(lane) + kept);
    }
  }
  candidates.start(panel);
  for (std::ptrdiff_t part = 0; part < 3; ++part) {
    std::ptrdiff_t begin = 0;
    for (int lane = 0; lane < count; ++lane) {
      const std::ptrdiff_t kept = counts[part][static_cast<std::size_t>(lane)];
      candidates.append(lane, part_scores[part].data() + begin, part_keys[part].data() + begin,
                        kept);
      begin += kept;
    }
  }
  check_kept("those of parts of the keys, appended, are the same");
}

template <class T>
void everything() {
  std::vector<std::byte> memory;
  constexpr Size sizes[] = {{0, 3, 64},    {1, 1, 64},      {7, 3, 64},      {7, 7, 2},
                            {255, 5, 64},  {256, 5, 256},   {257, 1, 384},   {600, 1, 100},
                            {600, 17, 37}, {900, 64, 256},  {2500, 64, 256}, {1500, 300, 256},
                            {700, 699, 1}, {2500, 2, 1000}, {3000, 900, 384}};
  for (int kind = 0; kind <= static_cast<int>(Scores::most_nan); ++kind) {
    for (const Size size : sizes) {
      for (int vectors = 1; vectors <= max_vectors; ++vectors) {
        const int full = vectors * simd::lanes<T>;
        kept_keys_are_those_of_a_stable_sort<T>(static_cast<Scores>(kind), size, vectors, full,
                                                memory);
        kept_keys_are_those_of_a_stable_sort<T>(static_cast<Scores>(kind), size, vectors,
                                                full - simd::lanes<T> + 1, memory);
      }
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
