// Blocks of keys whose weights are all small, dropped before their exponentials are computed: those
// where for every row
//   score ≤ maximum so far + log(min_weight)
// A dropped key has at most the weight min_weight, so the sum of a row's dropped weights is at most
// Lk · min_weight, and the output differs from the exact one by at most 2 · min_weight · Lk ·
// max |value|: once for the values missing, once for the sum that the others are divided by.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"
#include "attention/problem/score_rule.hpp"

namespace heedful {

template <class T>
class DroppedBlocks {
 public:
  DroppedBlocks(const Problem& problem, const ScoreRule<T>& rule)
      : mask_(problem.block_mask),
        active_(problem.min_weight > 0),
        below_(active_ ? static_cast<T>(std::log2(problem.min_weight)) / rule.exponent : T{0}) {}

  explicit operator bool() const { return active_; }

  // The maximum that a score must exceed.
  T limit(T maximum) const { return maximum + below_; }
  void set_limits(const T* maximum, int lanes, T* limits) const {
    for (int lane = 0; lane < lanes; ++lane) limits[lane] = limit(maximum[lane]);
  }
  // Whether no score (keys, lanes) exceeds the limit of its row; `tile_maximum` is at least that of
  // the scores, and no more where it exceeds the limit. A NaN is never dropped.
  bool all_small(const T* maximum, const T* tile_maximum, const T* scores, std::ptrdiff_t keys,
                 int lanes) const {
    for (int lane = 0; lane < lanes; ++lane) {
      if (!(tile_maximum[lane] <= limit(maximum[lane]))) return false;
    }
    bool any_nan = false;
    for (std::ptrdiff_t i = 0; i < keys * lanes; ++i) any_nan |= scores[i] != scores[i];
    return !any_nan;
  }

  // Writes to the mask that the block of a key is empty.
  void drop(const std::int32_t* row, std::ptrdiff_t key) const {
    const_cast<std::int32_t*>(row)[key / mask_.block_keys] = block_kind::empty;
  }
  void drop(const Panel<T>& panel, std::ptrdiff_t key) const {
    for (int lane = 0; lane < panel.count; ++lane) drop(panel.blocks[lane], key);
  }

 private:
  const BlockMask& mask_;
  bool active_;
  T below_;
};

}  // namespace heedful
