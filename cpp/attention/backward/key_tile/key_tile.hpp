// One key tile of a task: its rows, and dkey and dvalue, summed over the query panels that see it.
#pragma once

#include <cstddef>

#include "arrays/prefetch.hpp"
#include "attention/backward/call.hpp"
#include "attention/backward/key_tile/scratch.hpp"
#include "attention/scores/tile_rows.hpp"

namespace heedful {

// The keys of a key tile that are visible to a panel.
template <class T>
struct VisibleKeys {
  const Panel<T>& panel;
  KeyRange keys;  // of the item; all others are hidden
  // scores (keys, lanes) if hidden keys or queries may hold NaN or ∞, see nonfinite.hpp; else null
  const T* score_copy;
};

template <class T>
class KeyTile {
 public:
  KeyTile(const BackwardCall<T>& call, const BackwardTask& task, const BackwardScratch<T>& scratch);

  const KeyRange keys;  // of the item
  TileRows<T> key_rows, value_rows;

  // The sums from row `key`, with the strides depth and value_depth of the scratch.
  T* dkey(std::ptrdiff_t key) const { return scratch_.dkey + (key - keys.begin) * scratch_.depth; }
  T* dvalue(std::ptrdiff_t key) const {
    return scratch_.dvalue + (key - keys.begin) * scratch_.value_depth;
  }

  // Call before the products of each panel are added. Those of the first one are written, not added
  // to zeros, if they reach every element: with one query a head, 2 to 3 % of the backward pass.
  void start_panel(const VisibleKeys<T>& visible);

  // dvalue[key] += Σ_lane probabilities[key][lane] · dout[lane]
  void add_dvalue(const VisibleKeys<T>& visible, const T* probabilities, Rows<T> dout,
                  RowPrefetch& prefetch);
  // dkey[key] += Σ_lane dproducts[key][lane] · query[lane]
  void add_dkey(const VisibleKeys<T>& visible, const T* dproducts, Rows<T> query,
                RowPrefetch& prefetch);
  // dquery[d][lane] = Σ_key dproducts[key][lane] · key[key][d]
  void write_dquery(const VisibleKeys<T>& visible, const T* dproducts, T* dquery,
                    RowPrefetch& prefetch);

  // Adds the sums to the rows of the results; these stay as they are if there was no panel.
  void add_to_outputs();

 private:
  // Whether the sums are set: before the first panel they are uninitialized.
  bool started() const { return panels_ > 0 || levels_ > 0; }
  void flush_level();
  void add_rows(const VisibleKeys<T>& visible, const T* coefficients, Rows<T> rows,
                std::ptrdiff_t columns, T* sums, RowPrefetch& prefetch);

  const BackwardCall<T>& call_;
  const BackwardTask& task_;
  const BackwardScratch<T>& scratch_;
  std::ptrdiff_t panels_ = 0, levels_ = 0;  // panels since the last level, and levels flushed
  bool accumulates_ = false;                // the panel's products are added to the sums
};

}  // namespace heedful
