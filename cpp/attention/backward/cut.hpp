// How the backward pass is cut into tasks: an item's keys into blocks, and where there are few
// blocks, its queries into chunks of panels. The cut depends on the item's own shape alone, but for
// a shared dbias, where every item is cut like the longest, so that all add to it in one order.
#pragma once

#include <algorithm>
#include <cstddef>

#include "attention/backward/tensors.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

template <class T>
inline constexpr std::ptrdiff_t panel_rows = Panel<T>::max_lanes;

// Most keys of a block. Each block turns all panels of queries and adds to all rows of dquery, so
// longer ones cost less, until keys, values and both gradients leave the second cache.
inline std::ptrdiff_t most_block_keys(const Problem& problem) {
  const std::ptrdiff_t depths = std::max<std::ptrdiff_t>(problem.depth + problem.value_depth, 1);
  return std::clamp<std::ptrdiff_t>(65536 / depths / 8 * 8, 32, 384);
}

// Keys of each block of an item but the last: even blocks. With dbias the cuts lie at the same
// multiples for every item, so that a shared dbias has one order.
inline std::ptrdiff_t block_keys(const Problem& problem, const BackwardTensors& tensors,
                                 const Item& item) {
  const std::ptrdiff_t most = most_block_keys(problem);
  if (tensors.dbias) return most;
  const std::ptrdiff_t blocks = std::max<std::ptrdiff_t>((item.keys + most - 1) / most, 1);
  return std::max<std::ptrdiff_t>((item.keys + blocks * 8 - 1) / (blocks * 8) * 8, 8);
}

template <class T>
class BackwardCut {
 public:
  BackwardCut(const Problem& problem, const BackwardTensors& tensors)
      : problem_(problem), tensors_(tensors) {
    for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
      most_blocks_ = std::max(most_blocks_, own_blocks(i));
      most_panels_ = std::max(most_panels_, own_panels(i));
    }
  }

  // Panels that hold queries of the item.
  std::ptrdiff_t own_panels(std::ptrdiff_t item) const {
    return (problem_.items[item].queries + panel_rows<T> - 1) / panel_rows<T>;
  }
  std::ptrdiff_t blocks(std::ptrdiff_t item) const {
    return tensors_.shared_dbias ? most_blocks_ : own_blocks(item);
  }
  std::ptrdiff_t panels(std::ptrdiff_t item) const {
    return tensors_.shared_dbias ? most_panels_ : own_panels(item);
  }
  // Where the blocks alone leave threads without work; dbias is added to by one chunk only.
  std::ptrdiff_t chunks(std::ptrdiff_t item) const {
    constexpr std::ptrdiff_t few_blocks = 4;     // with more there is work enough
    constexpr std::ptrdiff_t chunk_panels = 20;  // fewest panels of a chunk
    constexpr std::ptrdiff_t max_chunks = 8;
    if (tensors_.dbias || blocks(item) > few_blocks) return 1;
    return std::clamp<std::ptrdiff_t>(panels(item) / chunk_panels, 1, max_chunks);
  }
  std::ptrdiff_t first_panel(std::ptrdiff_t item, std::ptrdiff_t chunk) const {
    return panels(item) * chunk / chunks(item);
  }
  // The most panels that a task sums dkey and dvalue over.
  std::ptrdiff_t most_summed() const {
    std::ptrdiff_t most = 0;
    for (std::ptrdiff_t i = 0; i < problem_.num_items; ++i) {
      most = std::max(most, (panels(i) + chunks(i) - 1) / chunks(i));
    }
    return most * problem_.group();
  }

  std::ptrdiff_t most_blocks() const { return most_blocks_; }
  std::ptrdiff_t most_panels() const { return most_panels_; }

 private:
  std::ptrdiff_t own_blocks(std::ptrdiff_t item) const {
    const std::ptrdiff_t size = block_keys(problem_, tensors_, problem_.items[item]);
    return (problem_.items[item].keys + size - 1) / size;
  }

  const Problem& problem_;
  const BackwardTensors& tensors_;
  std::ptrdiff_t most_blocks_ = 0, most_panels_ = 0;
};

}  // namespace heedful
