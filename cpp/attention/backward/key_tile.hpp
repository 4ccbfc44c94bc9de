// One key tile of a task: its rows, and dkey and dvalue, summed over the panels of queries that see
// it.
#pragma once

#include <cstddef>

#include "attention/backward/call.hpp"
#include "attention/backward/scratch.hpp"
#include "attention/scores/tile_rows.hpp"
#include "kernels/product_prefetch.hpp"

namespace heedful {

// What a panel sees of a key tile.
template <class T>
struct VisibleKeys {
  const Panel<T>& panel;
  KeyRange keys;  // of the item; none of the others is seen
  // null, or where hidden keys or queries hold NaN or ∞: scores (keys, lanes), see nonfinite.hpp
  const T* score_copy;
};

template <class T>
class KeyTile {
 public:
  KeyTile(const BackwardCall<T>& call, const BackwardTask& task, const BackwardScratch<T>& scratch);

  const KeyRange keys;  // of the item
  TileRows<T> key_rows, value_rows;

  // Sums of the rows from `key` on, as long as the areas' depth and value_depth.
  T* dkey(std::ptrdiff_t key) const { return scratch_.dkey + (key - keys.begin) * scratch_.depth; }
  T* dvalue(std::ptrdiff_t key) const {
    return scratch_.dvalue + (key - keys.begin) * scratch_.value_depth;
  }

  // To be called before the products of each panel are added.
  void count_panel();

  // dvalue[key] += Σ_lane probabilities[key][lane] · dout[lane]
  void add_dvalue(const VisibleKeys<T>& visible, const T* probabilities, Rows<T> dout,
                  RowPrefetch& prefetch);
  // dkey[key] += Σ_lane dproducts[key][lane] · query[lane]
  void add_dkey(const VisibleKeys<T>& visible, const T* dproducts, Rows<T> query,
                RowPrefetch& prefetch);
  // dquery[d][lane] = Σ_key dproducts[key][lane] · key[key][d]
  void write_dquery(const VisibleKeys<T>& visible, const T* dproducts, T* dquery,
                    RowPrefetch& prefetch);

  // Adds the sums to the caller's rows.
  void add_to_outputs();

 private:
  void flush_level();

  const BackwardCall<T>& call_;
  const BackwardTask& task_;
  const BackwardScratch<T>& scratch_;
  std::ptrdiff_t panels_ = 0, levels_ = 0;  // panels since the last level, and levels taken
};

}  // namespace heedful
