// The query panels of a call: a task each. They depend on the item alone.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/ragged_range.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

template <class T>
class PanelRows {
 public:
  struct Place {
    std::ptrdiff_t item, kv_head, first, count;  // rows (head of the group, query)
  };

  explicit PanelRows(const Problem& problem)
      : problem_(problem),
        panels_(problem.num_items, problem.num_kv_heads,
                [&](std::ptrdiff_t item) { return (rows(item) + lanes(item) - 1) / lanes(item); }) {
  }

  std::ptrdiff_t size() const { return panels_.size(); }
  Place operator[](std::ptrdiff_t index) const {
    const RaggedRange::Place place = panels_[index];
    // the last rows first: with causal attention they see the most keys
    const std::ptrdiff_t panel = panels_.count(place.item) - 1 - place.index;
    const std::ptrdiff_t first = panel * lanes(place.item);
    return {place.item, place.head, first, std::min(lanes(place.item), rows(place.item) - first)};
  }
  // Rows of a head of the item.
  std::ptrdiff_t rows(std::ptrdiff_t item) const {
    return problem_.group() * problem_.items[item].queries;
  }
  // Maximum elements of the scores of a panel.
  std::ptrdiff_t max_scores() const {
    std::ptrdiff_t scores = 0;
    for (std::ptrdiff_t i = 0; i < problem_.num_items; ++i) {
      scores = std::max(scores, lanes(i) * problem_.items[i].keys);
    }
    return scores;
  }
  std::ptrdiff_t max_keys() const {
    std::ptrdiff_t keys = 0;
    for (std::ptrdiff_t i = 0; i < problem_.num_items; ++i) {
      keys = std::max(keys, problem_.items[i].keys);
    }
    return keys;
  }

 private:
  // Of a panel: as many as fit, and at least a vector.
  std::ptrdiff_t lanes(std::ptrdiff_t item) const {
    constexpr std::ptrdiff_t max_bytes = std::ptrdiff_t{8} << 20, width = simd::lanes<T>;
    const std::ptrdiff_t vector_bytes = std::max<std::ptrdiff_t>(problem_.items[item].keys, 1) *
                                        width * static_cast<std::ptrdiff_t>(sizeof(T));
    return std::clamp<std::ptrdiff_t>(max_bytes / vector_bytes, 1, max_vectors) * width;
  }

  const Problem& problem_;
  RaggedRange panels_;
};

}  // namespace heedful
