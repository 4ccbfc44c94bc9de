// Dropout of weights by a counter-based RNG, random_words.hpp: a weight is kept if its word is at
// least p · 2^32.
#pragma once

#include <cstddef>

#include "attention/problem/key_index.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

// The factor of kept weights: 1 / (1 − p), and 0 for p = 1.
inline double dropout_factor(const Problem& problem) {
  return problem.dropout_p < 1 ? 1 / (1 - problem.dropout_p) : 0;
}

// weights[key − keys.begin][lane] ← kept ? factor · weight : 0
template <class T>
void apply_dropout(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                   KeyRange keys, T factor, T* weights);

// factors[key − keys.begin][lane] ← kept ? factor : 0
template <class T>
void write_keep_factors(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                        KeyRange keys, T factor, T* factors);

// apply_dropout() for one row: weights[key − keys.begin].
template <class T>
void apply_dropout_row(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                       std::ptrdiff_t query, KeyRange keys, T factor, T* weights);

// ... and for a list of keys: weights[i] is that of keys[i].
template <class T>
void apply_dropout_keys(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                        std::ptrdiff_t query, const KeyIndex* keys, std::ptrdiff_t count, T factor,
                        T* weights);

}  // namespace heedful
