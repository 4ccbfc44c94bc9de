#include "attention/dropout.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "simd/philox.hpp"

namespace heedful {
namespace {

constexpr int drawn = 16;  // counters at a time

std::uint32_t threshold(const Problem& problem) {
  const double words = std::nearbyint(problem.dropout_p * 4294967296.0);
  return words >= 4294967295.0 ? 4294967295u : static_cast<std::uint32_t>(words);
}

}  // namespace

template <class T>
void drop(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel, KeyRange keys,
          T factor, T* weights) {
  const std::uint32_t least = threshold(problem);
  const int lanes = panel.lanes();
  std::uint32_t words[4][drawn];
  for (std::ptrdiff_t key = keys.begin & ~std::ptrdiff_t{3}; key < keys.end; key += 4) {
    for (int lane = 0; lane < lanes; lane += drawn) {
      const int count = std::min(drawn, lanes - lane);
      for (int i = 0; i < drawn; ++i) {
        const int from = lane + std::min(i, count - 1);
        words[0][i] = static_cast<std::uint32_t>(key >> 2);
        words[1][i] = static_cast<std::uint32_t>(panel.query[from]);
        words[2][i] = static_cast<std::uint32_t>(panel.head[from]);
        words[3][i] = static_cast<std::uint32_t>(item);
      }
      simd::philox<drawn>(words, problem.seed);
      for (int word = 0; word < 4; ++word) {
        if (key + word < keys.begin || key + word >= keys.end) continue;
        T* const row = weights + (key + word - keys.begin) * lanes + lane;
        for (int i = 0; i < count; ++i) row[i] = words[word][i] >= least ? row[i] * factor : T{0};
      }
    }
  }
}

template <class T>
void drop_row(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
              std::ptrdiff_t query, KeyRange keys, T factor, T* weights) {
  const std::uint32_t least = threshold(problem);
  std::uint32_t words[4][drawn];
  for (std::ptrdiff_t key = keys.begin & ~std::ptrdiff_t{3}; key < keys.end; key += 4 * drawn) {
    for (int i = 0; i < drawn; ++i) {
      words[0][i] = static_cast<std::uint32_t>((key >> 2) + i);
      words[1][i] = static_cast<std::uint32_t>(query);
      words[2][i] = static_cast<std::uint32_t>(head);
      words[3][i] = static_cast<std::uint32_t>(item);
    }
    simd::philox<drawn>(words, problem.seed);
    const std::ptrdiff_t end = std::min(keys.end, key + 4 * drawn);
    for (std::ptrdiff_t at = std::max(key, keys.begin); at < end; ++at) {
      T& weight = weights[at - keys.begin];
      weight = words[(at - key) & 3][(at - key) >> 2] >= least ? weight * factor : T{0};
    }
  }
}

template void drop(const Problem&, std::ptrdiff_t, const Panel<float>&, KeyRange, float, float*);
template void drop(const Problem&, std::ptrdiff_t, const Panel<double>&, KeyRange, double, double*);
template void drop_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                       float, float*);
template void drop_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                       double, double*);

}  // namespace heedful
