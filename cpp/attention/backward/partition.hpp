// The partition of the backward pass into tasks: an item's keys into key tiles, and if these are
// few, its queries into chunks of panels. It depends on the item's own shape alone, except with a
// shared dbias, where every item has as many key tiles as the longest, so that all add to it in one
// order.
#pragma once

#include <algorithm>
#include <cstddef>

#include "attention/backward/bfloat16_way.hpp"
#include "attention/backward/tensors.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

// A key tile against a chunk of the panels of queries, of each query head of its group.
struct BackwardTask {
  std::ptrdiff_t item, kv_head, key_tile, chunk;
  double* dscore_vector;  // (E), the task's own sum; only in additive attention
};

template <class T>
inline constexpr std::ptrdiff_t panel_rows = Panel<T>::max_lanes;

// The maximum number of panels whose products are summed in T. Sums of more are added in double:
// the error of a sum in T grows with its terms, and there may be millions of queries.
inline constexpr std::ptrdiff_t level_panels = 32;

template <class T>
class BackwardPartition {
 public:
  BackwardPartition(const Problem& problem, const BackwardTensors& tensors)
      : problem_(problem),
        tensors_(tensors),
        step_(way_of(problem, tensors) == simd::Bfloat16Way::widened ? 8 : 32) {
    for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
      max_key_tiles_ = std::max(max_key_tiles_, own_key_tiles(i));
      max_panels_ = std::max(max_panels_, panels(i));
    }
    for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
      const std::ptrdiff_t longest_chunk = (panels(i) + chunks(i) - 1) / chunks(i);
      has_long_sums_ |= longest_chunk * problem.group() > level_panels;
    }
  }

  // Keys of the longest key tile. Each tile transposes all query panels and adds to all rows of
  // dquery, so longer ones cost less, until keys, values and both gradients exceed L2.
  std::ptrdiff_t max_tile_keys() const {
    const std::ptrdiff_t depths =
        std::max<std::ptrdiff_t>(problem_.depth + problem_.value_depth, 1);
    return std::clamp<std::ptrdiff_t>(65536 / depths / step_ * step_, 32, 384);
  }

  std::ptrdiff_t key_tiles(std::ptrdiff_t item) const {
    return tensors_.shared_dbias ? max_key_tiles_ : own_key_tiles(item);
  }
  // If true, each query is processed only once per head.
  bool has_one_key_tile(std::ptrdiff_t item) const { return key_tiles(item) == 1; }
  KeyRange key_tile(std::ptrdiff_t item, std::ptrdiff_t index) const {
    const std::ptrdiff_t keys = problem_.items[item].keys, size = tile_keys(item);
    return {std::min(index * size, keys), std::min((index + 1) * size, keys)};
  }

  std::ptrdiff_t panels(std::ptrdiff_t item) const {
    return (problem_.items[item].queries + panel_rows<T> - 1) / panel_rows<T>;
  }
  // More than one if the key tiles alone would leave threads idle; only one with dbias.
  std::ptrdiff_t chunks(std::ptrdiff_t item) const {
    constexpr std::ptrdiff_t few_key_tiles = 4;  // with more there is enough work
    constexpr std::ptrdiff_t chunk_panels = 20;  // minimum panels of a chunk
    constexpr std::ptrdiff_t max_chunks = 8;
    if (tensors_.dbias || key_tiles(item) > few_key_tiles) return 1;
    return std::clamp<std::ptrdiff_t>(panels(item) / chunk_panels, 1, max_chunks);
  }
  std::ptrdiff_t first_panel(std::ptrdiff_t item, std::ptrdiff_t chunk) const {
    return panels(item) * chunk / chunks(item);
  }

  std::ptrdiff_t max_key_tiles() const { return max_key_tiles_; }
  std::ptrdiff_t max_panels() const { return max_panels_; }
  // Whether some task sums dkey and dvalue over more than level_panels.
  bool has_long_sums() const { return has_long_sums_; }

 private:
  // Keys of each key tile of an item except the last: even tiles. With dbias the bounds are at the
  // same multiples for every item, so that a shared dbias has one order.
  std::ptrdiff_t tile_keys(std::ptrdiff_t item) const {
    const std::ptrdiff_t max = max_tile_keys(), keys = problem_.items[item].keys;
    if (tensors_.dbias) return max;
    const std::ptrdiff_t tiles = std::max<std::ptrdiff_t>((keys + max - 1) / max, 1);
    return std::max<std::ptrdiff_t>((keys + tiles * step_ - 1) / (tiles * step_) * step_, step_);
  }
  std::ptrdiff_t own_key_tiles(std::ptrdiff_t item) const {
    const std::ptrdiff_t size = tile_keys(item);
    return (problem_.items[item].keys + size - 1) / size;
  }

  const Problem& problem_;
  const BackwardTensors& tensors_;
  std::ptrdiff_t step_;  // key tiles are multiples of it: whole tiles of bfloat16
  std::ptrdiff_t max_key_tiles_ = 0, max_panels_ = 0;
  bool has_long_sums_ = false;
};

}  // namespace heedful
