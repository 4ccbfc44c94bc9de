#include "attention/softmax/dropout.hpp"

#include <cstdint>

#include "attention/problem/random_words.hpp"

namespace heedful {
namespace {

using simd::Words;

// Calls apply(row, lanes, keep_mask) with the address of each key's next `lanes` weights.
template <class T, class Apply>
void for_keep_masks(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                    KeyRange keys, T* weights, const Apply& apply) {
  const Words min_kept = Words{} + min_kept_word(problem.dropout_p);
  for_panel_words(problem.seed, RandomStream::dropout, item, panel, keys, weights,
                  [&](T* row, int lanes, const Words& words) {
                    apply(row, lanes, words >= min_kept ? ~Words{} : Words{});
                  });
}

RowWords row_words(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                   std::ptrdiff_t query) {
  return {problem.seed, RandomStream::dropout, item, head, query};
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
  const std::uint32_t min_kept = min_kept_word(problem.dropout_p);
  for_row_words(row_words(problem, item, head, query), keys,
                [&](std::ptrdiff_t i, std::uint32_t word) {
                  weights[i] = word >= min_kept ? weights[i] * factor : T{0};
                });
}

template <class T>
void apply_dropout_keys(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                        std::ptrdiff_t query, const KeyIndex* keys, std::ptrdiff_t count, T factor,
                        T* weights) {
  const std::uint32_t min_kept = min_kept_word(problem.dropout_p);
  for_row_words(row_words(problem, item, head, query), keys, count,
                [&](std::ptrdiff_t i, std::uint32_t word) {
                  weights[i] = word >= min_kept ? weights[i] * factor : T{0};
                });
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
