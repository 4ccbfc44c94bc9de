// Dropout of keys (Li et al., "DropKey", 2023): a pair of a query and a key is hidden with
// probability p, before the softmax, so that the other keys share its weight. Words:
// RandomStream::key_dropout; a key stays if its word is at least p · 2^32. A query whose keys are
// all hidden attends to nothing.
#pragma once

#include <cstddef>

#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

// scores[key − keys.begin][lane] ← −∞ where hidden
template <class T>
void drop_keys(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel, KeyRange keys,
               T* scores);

// One row: scores[key − keys.begin].
template <class T>
void drop_keys(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
               std::ptrdiff_t query, KeyRange keys, T* scores);

}  // namespace heedful
