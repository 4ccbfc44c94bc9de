#include "attention/scores/gumbel_noise.hpp"

#include <algorithm>

#include "attention/problem/random_words.hpp"
#include "simd/gumbel.hpp"

namespace heedful {
namespace {

constexpr int batch = simd::word_lanes;  // words whose noise is computed together

// The noise of words that come one after another, added to scores[index].
template <class T>
class NoiseOfWords {
 public:
  NoiseOfWords(T unit, T* scores) : unit_(unit), scores_(scores) {}

  void add(std::ptrdiff_t index, std::uint32_t word) {
    if (count_ == 0) first_ = index;
    words_[count_++] = word;
    if (count_ == batch) flush();
  }
  void flush() {
    T noise[batch];
    simd::gumbel<T>(words_, count_, noise);
    for (int i = 0; i < count_; ++i) scores_[first_ + i] += unit_ * noise[i];
    count_ = 0;
  }

 private:
  T unit_;
  T* scores_;
  std::ptrdiff_t first_ = 0;
  int count_ = 0;
  std::uint32_t words_[batch];
};

// Adds the noise of keys [begin, end) of a group of four to row[key][lane]. It is computed of all
// four together: of one, each step would wait for the step before.
[[maybe_unused]] void add_four_keys(const simd::Words (&words)[4], float unit, std::ptrdiff_t begin,
                                    std::ptrdiff_t end, int lanes, float* row) {
  simd::Packet<float> noise[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) noise[i] = simd::gumbel(words[i]);
  const auto units = simd::broadcast(unit);
  for (std::ptrdiff_t key = begin; key < end; ++key) {
    float* const to = row + key * lanes;
    simd::store(to, simd::multiply_add(noise[key], units, simd::load(to)));
  }
}

RowWords row_words(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                   std::ptrdiff_t query) {
  return {problem.seed, RandomStream::gumbel, item, head, query};
}

}  // namespace

template <class T>
void add_gumbel_noise(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                      KeyRange keys, T unit, T* scores) {
  const int lanes = panel.lanes();
  if constexpr (simd::lanes<T> != simd::word_lanes) {
    for_panel_words(problem.seed, RandomStream::gumbel, item, panel, keys, scores,
                    [&](T* row, int count, const simd::Words& words) {
                      NoiseOfWords<T> noise(unit, row);
                      for (int i = 0; i < count; ++i) noise.add(i, words[i]);
                      noise.flush();
                    });
  } else {
    for_panel_groups(problem.seed, RandomStream::gumbel, item, panel, keys,
                     [&](std::ptrdiff_t group, int lane, const simd::Words(&words)[4]) {
                       T* const row = scores + (group - keys.begin) * lanes + lane;
                       add_four_keys(words, unit, std::max(keys.begin - group, std::ptrdiff_t{0}),
                                     std::min(keys.end - group, std::ptrdiff_t{4}), lanes, row);
                     });
  }
}

template <class T>
void add_gumbel_noise(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                      std::ptrdiff_t query, KeyRange keys, T unit, T* scores) {
  NoiseOfWords<T> noise(unit, scores);
  for_row_words(row_words(problem, item, head, query), keys,
                [&](std::ptrdiff_t i, std::uint32_t word) { noise.add(i, word); });
  noise.flush();
}

template <class T>
void add_gumbel_noise(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                      std::ptrdiff_t query, const KeyIndex* keys, std::ptrdiff_t count, T unit,
                      T* scores) {
  NoiseOfWords<T> noise(unit, scores);
  for_row_words(row_words(problem, item, head, query), keys, count,
                [&](std::ptrdiff_t i, std::uint32_t word) { noise.add(i, word); });
  noise.flush();
}

template void add_gumbel_noise(const Problem&, std::ptrdiff_t, const Panel<float>&, KeyRange, float,
                               float*);
template void add_gumbel_noise(const Problem&, std::ptrdiff_t, const Panel<double>&, KeyRange,
                               double, double*);
template void add_gumbel_noise(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                               KeyRange, float, float*);
template void add_gumbel_noise(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                               KeyRange, double, double*);
template void add_gumbel_noise(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                               const KeyIndex*, std::ptrdiff_t, float, float*);
template void add_gumbel_noise(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                               const KeyIndex*, std::ptrdiff_t, double, double*);

}  // namespace heedful
