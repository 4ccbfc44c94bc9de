// The outputs of a query panel: rows of out and lse in the caller's arrays, of any type and stride,
// or, with split keys, the state of its rows.
#pragma once

#include "arrays/l1_size.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/row_task.hpp"
#include "attention/softmax/key_split.hpp"
#include "attention/softmax/online_softmax.hpp"

namespace heedful {

// Whether write_weighted is faster for rows of that many columns. It reads all values for every
// block of rows: with 16 registers, whose blocks read more, they must stay in L1. If columns do not
// fill the last vector, it overlaps the one before and recomputes some, which costs more with every
// key; the panel costs a transposition of all columns.
template <class T>
inline bool writes_weighted(std::ptrdiff_t columns, std::ptrdiff_t keys) {
  const std::ptrdiff_t bytes = keys * columns * static_cast<std::ptrdiff_t>(sizeof(T));
  if (simd::registers < 32 && bytes > l1_size() / 4 * 3) return false;
  const std::ptrdiff_t recomputed = (simd::lanes<T> - columns % simd::lanes<T>) % simd::lanes<T>;
  return columns >= simd::lanes<T> && recomputed * keys <= 20 * columns;
}

// out[query] = Σ_key weight value / sum, from weights [key][lane] of all keys: the result has the
// layout of out, so nothing is transposed. For long sequences the panel is faster: there a tile's
// values in L1 serve 48 queries.
//   values (keys, Dv)   rows (lanes, Dv), for rows of out that cannot be written in place
template <class T>
void write_weighted(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel,
                    const RunningSoftmax<T>& state, const T* weights, std::ptrdiff_t keys,
                    Rows<T> values, T* rows, RowPrefetch& prefetch);

// out[query] = rows[lane].   rows (lanes, Dv)
template <class T>
void write_rows(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel,
                const T* rows);

// out[query] = state.out / sum.   rows (lanes + 1, Dv)
template <class T>
void write_out(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel,
               const RunningSoftmax<T>& state, T* rows);

template <class T>
void write_lse(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel,
               const RunningSoftmax<T>& state);

// The state, to the rows from first_row of the key split.   rows (1, Dv)
template <class T>
void write_split(const Problem& problem, const Panel<T>& panel, std::ptrdiff_t first_row,
                 const RunningSoftmax<T>& state, const KeySplit<T>& split, T* rows);

}  // namespace heedful
