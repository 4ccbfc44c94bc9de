// Standard Gumbel noise on the scores of visible and hidden keys (Jang et al., "Categorical
// reparameterization with Gumbel-softmax", 2017; Maddison et al., "The concrete distribution",
// 2017):
//   score += unit · g(item, head, query, key)     words: RandomStream::gumbel     g:
//   simd/gumbel.hpp
// The ScoreRule divides the sum by the temperature; `unit` is the rule's.
#pragma once

#include <cstddef>

#include "attention/problem/key_index.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

// scores[key − keys.begin][lane]
template <class T>
void add_gumbel_noise(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                      KeyRange keys, T unit, T* scores);

// One row: scores[key − keys.begin].
template <class T>
void add_gumbel_noise(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                      std::ptrdiff_t query, KeyRange keys, T unit, T* scores);

// ... and for a list of keys: scores[i] is that of keys[i].
template <class T>
void add_gumbel_noise(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                      std::ptrdiff_t query, const KeyIndex* keys, std::ptrdiff_t count, T unit,
                      T* scores);

}  // namespace heedful
