#include "attention/scores/key_dropout.hpp"

#include "attention/problem/minus_infinity.hpp"
#include "attention/problem/random_words.hpp"
#include "simd/packet.hpp"

namespace heedful {

template <class T>
void drop_keys(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel, KeyRange keys,
               T* scores) {
  const std::uint32_t min_kept = min_kept_word(problem.key_dropout_p);
  for_panel_words(problem.seed, RandomStream::key_dropout, item, panel, keys, scores,
                  [&](T* row, int lanes, const simd::Words& words) {
                    if constexpr (simd::lanes<T> == simd::word_lanes) {
                      const simd::Words kept =
                          words >= simd::Words{} + min_kept ? ~simd::Words{} : simd::Words{};
                      simd::store(
                          row, simd::select(simd::bits_as<simd::Packet<T>>(kept), simd::load(row),
                                            simd::broadcast(minus_infinity<T>)));
                    } else {
                      for (int i = 0; i < lanes; ++i) {
                        if (words[i] < min_kept) row[i] = minus_infinity<T>;
                      }
                    }
                  });
}

template <class T>
void drop_keys(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
               std::ptrdiff_t query, KeyRange keys, T* scores) {
  const std::uint32_t min_kept = min_kept_word(problem.key_dropout_p);
  const RowWords row(problem.seed, RandomStream::key_dropout, item, head, query);
  for_row_words(row, keys, [&](std::ptrdiff_t i, std::uint32_t word) {
    if (word < min_kept) scores[i] = minus_infinity<T>;
  });
}

template void drop_keys(const Problem&, std::ptrdiff_t, const Panel<float>&, KeyRange, float*);
template void drop_keys(const Problem&, std::ptrdiff_t, const Panel<double>&, KeyRange, double*);
template void drop_keys(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                        float*);
template void drop_keys(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                        double*);

}  // namespace heedful
