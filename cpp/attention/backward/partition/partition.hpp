// The partition of the backward pass into tasks: an item's keys into key tiles, and if these are
// few, its queries into chunks of panels. It depends on the item's own shape alone, except with a
// shared dbias, where every item has as many key tiles as the longest, so that all add to it in one
// order.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "attention/backward/partition/bfloat16_way.hpp"
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
  // With a block mask, whole blocks or even parts of one, if these are multiples of step_.
  std::ptrdiff_t max_tile_keys() const {
    const std::ptrdiff_t depths =
        std::max<std::ptrdiff_t>(problem_.depth + problem_.value_depth, 1);
    const std::ptrdiff_t keys = std::clamp<std::ptrdiff_t>(65536 / depths / step_ * step_, 32, 384);
    const std::ptrdiff_t block = problem_.block_mask ? problem_.block_mask.block_keys : 1;
    if (block <= keys) return block % step_ == 0 ? keys / block * block : keys;
    const std::ptrdiff_t parts = (block + keys - 1) / keys;
    return block % (parts * step_) == 0 ? block / parts : keys;
  }

  std::ptrdiff_t key_tiles(std::ptrdiff_t item) const {
    return tensors_.shared_dbias ? max_key_tiles_ : own_key_tiles(item);
  }
  // If true, each query is processed exactly once per head.
  bool has_one_key_tile(std::ptrdiff_t item) const {
    return key_tiles(item) == 1 && !problem_.block_mask;
  }
  KeyRange key_tile(std::ptrdiff_t item, std::ptrdiff_t index) const {
    const std::ptrdiff_t keys = problem_.items[item].keys, size = tile_keys(item);
    return {std::min(index * size, keys), std::min((index + 1) * size, keys)};
  }

  // Whether some query of the panel sees some key of the tile, as far as blocks tell.
  bool sees(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t panel,
            std::ptrdiff_t key_tile) const {
    const BlockMask& mask = problem_.block_mask;
    if (!mask) return true;
    const KeyRange keys = this->key_tile(item, key_tile), queries = this->queries(item, panel);
    if (keys.empty()) return false;
    const auto visible = [](std::int32_t kind) { return kind != block_kind::empty; };
    for (std::ptrdiff_t query = queries.begin; query < queries.end; query += mask.block_queries) {
      const std::int32_t* const row = mask.row(item, head, query);
      if (std::any_of(row + keys.begin / mask.block_keys,
                      row + (keys.end - 1) / mask.block_keys + 1, visible)) {
        return true;
      }
    }
    return false;
  }
  // The number of key tiles before `key_tile` that the panel sees.
  std::ptrdiff_t tiles_before(std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t panel,
                              std::ptrdiff_t key_tile) const {
    if (!problem_.block_mask) return key_tile;
    std::ptrdiff_t count = 0;
    for (std::ptrdiff_t tile = 0; tile < key_tile; ++tile) count += sees(item, head, panel, tile);
    return count;
  }

  std::ptrdiff_t panels(std::ptrdiff_t item) const {
    const std::ptrdiff_t queries = problem_.items[item].queries, block = aligned_queries();
    if (block == 0) return panels_of(queries);
    return queries / block * panels_of(block) + panels_of(queries % block);
  }
  // The queries of a panel; with a block mask, of one query block, or several whole ones.
  KeyRange queries(std::ptrdiff_t item, std::ptrdiff_t panel) const {
    const std::ptrdiff_t queries = problem_.items[item].queries, block = aligned_queries();
    std::ptrdiff_t first = 0, end = queries;
    if (block > 0) {
      first = panel / panels_of(block) * block;
      end = std::min(first + block, queries);
      panel %= panels_of(block);
    }
    first += panel * panel_rows<T>;
    return {first, std::min(first + panel_rows<T>, end)};
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
  // To which panels are aligned; 0: without a block mask.
  std::ptrdiff_t aligned_queries() const {
    return problem_.block_mask ? problem_.block_mask.aligned_queries(panel_rows<T>) : 0;
  }
  static std::ptrdiff_t panels_of(std::ptrdiff_t queries) {
    return (queries + panel_rows<T> - 1) / panel_rows<T>;
  }
  // Keys of each key tile of an item except the last: even tiles. With dbias or a block
  // mask the bounds are at the same multiples for every item: so a shared dbias has one order, and
  // tiles have whole blocks.
  std::ptrdiff_t tile_keys(std::ptrdiff_t item) const {
    const std::ptrdiff_t max = max_tile_keys(), keys = problem_.items[item].keys;
    if (tensors_.dbias || problem_.block_mask) return max;
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
