// The kept keys of query panels: the problem's top_k visible ones of the highest scores, see
// candidates.hpp. Forward, probabilities and backward select by this function alone, so that they
// keep the same keys: those of a row depend on its own scores, which have the same bits in every
// panel and tile.
#pragma once

#include <cstddef>

#include "attention/forward/probabilities/call_without_values.hpp"
#include "attention/forward/top_k/candidates.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

// A panel, filled by the caller, and its kept keys.
template <class T>
struct PanelKeys {
  Panel<T> panel;
  Candidates<T> candidates;
};

// A part of the keys that a task's panels see, if several tasks split them.
struct SplitOfKeys {
  std::ptrdiff_t index = 0, count = 1;
};

// Maximum panels that share each key tile: fewer of a large k, whose lists would not stay in L2.
template <class T>
std::ptrdiff_t max_selection_panels(std::ptrdiff_t top_k);

// The panels of a thread, each to be filled before select_keys().
template <class T>
class Selection {
 public:
  Selection(const ForwardCall<T>& call, std::byte* memory);

  std::size_t size() const { return size_; }
  PanelKeys<T>& operator[](std::ptrdiff_t panel) const { return panels_[panel]; }

  // Called before the first task of a thread: it keeps rows from task to task.
  void start(const ForwardCall<T>& call) const;
  // Selects the keys of the first `panels` panels, which are rows of one key/value head of an item.
  // `rows`: the number of rows that the task has of the head.
  void select_keys(const ForwardCall<T>& call, std::ptrdiff_t item, std::ptrdiff_t kv_head,
                   std::ptrdiff_t rows, std::ptrdiff_t panels, Worker& worker,
                   SplitOfKeys split = {}) const;

 private:
  std::size_t size_;
  PanelKeys<T>* panels_;
  std::byte* products_;  // the scratch of the products and of a tile's scores
};

}  // namespace heedful
