// What every loop over the key tiles of a prefill task has in common: its memory, its query panels,
// and the results that they end with.
#pragma once

#include <algorithm>
#include <cstddef>
#include <type_traits>

#include "arrays/prefetch.hpp"
#include "arrays/work_area.hpp"
#include "attention/forward/panels/panel_output.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/row_task.hpp"
#include "attention/scores/mask.hpp"
#include "attention/softmax/key_split.hpp"
#include "attention/softmax/online_softmax.hpp"

namespace heedful {

// `Products` computes the two products; softmax, masks and bias are computed in T.
template <class Products>
struct PrefillScratch {
  using T = typename Products::Scalar;
  static constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;
  static constexpr int max_panels = 4;

  WorkArea area;
  Products products;
  Panel<T>* panels;
  T* outs;    // each (Dv + Products::extra_rows, lanes)
  T* maxima;  // each (lanes)
  T* sums;
  T* new_maximum[Products::blocks];  // (lanes)
  T* scores[Products::blocks];       // (tile, lanes)
  T* mask[Products::blocks];         // the buffer of mask_tile
  T* seen;                           // (tile, lanes): a copy of scores
  T* rows;  // (lanes, D or Dv), for queries and outputs that cannot be read or written in place

  PrefillScratch(const ForwardCall<T>& call, std::byte* memory)
      : area(memory), products(call, max_panels, area) {
    const Problem& problem = call.problem;
    const std::ptrdiff_t tile = KeyTiles::max_keys(tile_keys(problem));
    panels = area.take<Panel<T>>(max_panels);
    outs = area.take<T>(max_panels * out_rows(problem) * lanes);
    maxima = area.take<T>(max_panels * lanes);
    sums = area.take<T>(max_panels * lanes);
    for (int block = 0; block < Products::blocks; ++block) {
      new_maximum[block] = area.take<T>(lanes);
      scores[block] =
          area.take<T>((Products::rows_before + tile) * lanes) + Products::rows_before * lanes;
    }
    // a single block's copy of scores is made after its mask was used
    constexpr bool shared = Products::blocks == 1;
    for (T*& buffer : mask) {
      const std::ptrdiff_t size = mask_tile_size<T>(tile);
      buffer = area.take<T>(shared ? std::max(tile * lanes, size) : size);
    }
    seen = shared ? mask[0] : area.take<T>(tile * lanes);
    rows = area.take<T>((lanes + 1) * std::max(problem.depth, problem.value_depth));
  }
  RunningSoftmax<T> state(const Problem& problem, std::ptrdiff_t panel) const {
    return {maxima + panel * lanes, sums + panel * lanes, outs + panel * out_rows(problem) * lanes};
  }
  // The rows that are accumulated over all keys, and rescaled where the maximum grows.
  static std::ptrdiff_t out_rows(const Problem& problem) {
    return problem.value_depth + Products::extra_rows;
  }
};

// Where a panel's weighted sum of values is.
enum class Outcome : unsigned char { none, in_panel, written };

// The query panels of a task, of nearly the same number of vectors.
template <class Products>
class PrefillTask {
  using T = typename Products::Scalar;
  using Scratch = PrefillScratch<Products>;
  static constexpr std::ptrdiff_t width = simd::lanes<T>;

 public:
  PrefillTask(const ForwardCall<T>& call, const RowTask& task, const Scratch& scratch)
      : call_(call),
        task_(task),
        scratch_(scratch),
        vectors_((task.rows + width - 1) / width),
        panels_(task.panel_rows ? (task.rows + task.panel_rows - 1) / task.panel_rows
                                : (vectors_ + max_vectors - 1) / max_vectors),
        keys_{task.keys.end, task.keys.begin} {
    const Problem& problem = call.problem;
    for (std::ptrdiff_t p = 0; p < panels_; ++p) {
      const std::ptrdiff_t begin = first_row(p), end = std::min(first_row(p + 1), task.rows);
      Panel<T>& panel = scratch.panels[p];
      fill_panel(panel, problem, problem.items[task.item], task.kv_head, task.first_row + begin,
                 static_cast<int>(end - begin));
      scratch.products.load_queries(task.item, panel, static_cast<int>(p), scratch.rows);
      RunningSoftmax<T> state = scratch.state(problem, p);
      start_rows(state, panel.lanes(), task.key_split == 0 ? problem.sink : nullptr, panel.head,
                 call.rule.unit);
      outcomes[p] = scratch.products.start(panel, state) ? Outcome::in_panel : Outcome::none;
      if (panel.any.empty()) continue;
      keys_.begin = std::min(keys_.begin, std::max(panel.any.begin, task.keys.begin));
      keys_.end = std::max(keys_.end, std::min(panel.any.end, task.keys.end));
    }
  }

  std::ptrdiff_t panels() const { return panels_; }
  const Panel<T>& panel(std::ptrdiff_t p) const { return scratch_.panels[p]; }
  // Those visible to some row.
  KeyRange keys() const { return keys_; }

  // After the last tile.
  void write(const KeySplit<T>& split) const {
    const Problem& problem = call_.problem;
    for (std::ptrdiff_t p = 0; p < panels_; ++p) {
      const RunningSoftmax<T> state = scratch_.state(problem, p);
      if (outcomes[p] == Outcome::none) {
        std::fill_n(state.out, problem.value_depth * panel(p).lanes(), T{0});
      }
      if (outcomes[p] != Outcome::written) scratch_.products.finish(panel(p), state);
      if (split.sum) {
        write_split(problem, panel(p), first_row(p), state, split, scratch_.rows);
        continue;
      }
      if (outcomes[p] != Outcome::written) {
        write_out(call_, task_.item, panel(p), state, scratch_.rows);
      }
      if (call_.lse) write_lse(call_, task_.item, panel(p), state);
    }
  }

  Outcome outcomes[Scratch::max_panels];

 private:
  std::ptrdiff_t first_row(std::ptrdiff_t p) const {
    return task_.panel_rows ? p * task_.panel_rows : vectors_ * p / panels_ * width;
  }

  const ForwardCall<T>& call_;
  const RowTask& task_;
  const Scratch& scratch_;
  std::ptrdiff_t vectors_, panels_;
  KeyRange keys_;
};

}  // namespace heedful
