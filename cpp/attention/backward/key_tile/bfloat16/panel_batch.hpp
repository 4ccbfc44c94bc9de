// Query panels whose products with a key tile are added to dkey and dvalue together (TileSums).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "attention/backward/key_tile/bfloat16/tile_scratch.hpp"
#include "attention/backward/key_tile/bfloat16/tile_sums.hpp"
#include "attention/backward/partition/partition.hpp"
#include "attention/problem/problem.hpp"
#include "simd/packet.hpp"

namespace heedful {

class PanelBatch {
 public:
  explicit PanelBatch(const TileScratch& scratch) : dkey_(scratch.dkey), dvalue_(scratch.dvalue) {
    dkey_.clear();
    dvalue_.clear();
  }

  // Where the next panel begins.
  std::ptrdiff_t queries() const { return queries_; }
  bool has_room(std::ptrdiff_t lanes) const { return queries_ + lanes <= TileSums::batch; }
  bool has_totals() const { return levels_ > 0; }

  // A panel whose rows are loaded, and whose coefficients are written for these keys of the tile.
  void add(KeyRange keys, std::ptrdiff_t lanes) {
    panels_[count_++] = {keys, lanes};
    queries_ += lanes;
  }

  void clear_coefficients(KeyRange keys, std::ptrdiff_t query, std::ptrdiff_t lanes) const {
    for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key) {
      std::fill_n(dvalue_.coefficients(key, query), lanes, std::uint16_t{0});
      std::fill_n(dkey_.coefficients(key, query), lanes, std::uint16_t{0});
    }
  }

  // Adds the products of all panels; the batch is empty then.
  template <class Tiles>
  void flush(Tiles& tiles) {
    if (count_ == 0) return;
    KeyRange keys = panels_[0].keys;
    for (std::ptrdiff_t p = 1; p < count_; ++p) {
      keys = {std::min(keys.begin, panels_[p].keys.begin), std::max(keys.end, panels_[p].keys.end)};
    }
    std::ptrdiff_t query = 0;
    for (std::ptrdiff_t p = 0; p < count_; query += panels_[p++].lanes) {
      clear_coefficients({keys.begin, panels_[p].keys.begin}, query, panels_[p].lanes);
      clear_coefficients({panels_[p].keys.end, keys.end}, query, panels_[p].lanes);
    }
    if (level_panels_ + count_ > level_panels) flush_level();
    level_panels_ += count_;
    dvalue_.add_batch(tiles, keys, queries_);
    dkey_.add_batch(tiles, keys, queries_);
    queries_ = count_ = 0;
  }
  void flush_level() {
    dkey_.flush_level(levels_ == 0);
    dvalue_.flush_level(levels_ == 0);
    level_panels_ = 0;
    ++levels_;
  }

 private:
  struct Panel {
    KeyRange keys;
    std::ptrdiff_t lanes;
  };

  const TileSums &dkey_, &dvalue_;
  Panel panels_[TileSums::batch / simd::lanes<float>];
  std::ptrdiff_t count_ = 0, queries_ = 0;
  std::ptrdiff_t level_panels_ = 0, levels_ = 0;  // panels since the last level; levels flushed
};

}  // namespace heedful
