// What a panel of queries leaves behind: rows of out and lse in the caller's arrays, of any type
// and stride, or the state of rows whose other keys belong to other tasks.
#pragma once

#include "attention/problem/panel.hpp"
#include "attention/problem/row_task.hpp"
#include "attention/softmax/key_split.hpp"
#include "attention/softmax/online_softmax.hpp"

namespace heedful {

// Whether rows of that many columns are better written by write_weighted. Columns that do not fill
// their last vector are made up for by some that are computed twice, which costs more with every
// key; the panel costs as many turned numbers.
template <class T>
inline constexpr bool writes_weighted(std::ptrdiff_t columns, std::ptrdiff_t keys) {
  const std::ptrdiff_t recomputed = (simd::lanes<T> - columns % simd::lanes<T>) % simd::lanes<T>;
  return columns >= simd::lanes<T> && recomputed * keys <= 20 * columns;
}

// out[query] = Σ_key weight value / sum, from weights [key][lane] of all keys: rows against rows,
// so nothing is turned. In long sequences the panel is better, where a tile's values serve 48
// queries from the first cache.
//   values (keys, Dv)   rows (lanes, Dv), for rows of out that cannot be written in place
template <class T>
void write_weighted(const ForwardCall<T>& call, std::ptrdiff_t item, const Panel<T>& panel,
                    const RunningSoftmax<T>& state, const T* weights, std::ptrdiff_t keys,
                    Rows<T> values, T* rows);

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

// The state itself, of the rows from first_row of the part on.   rows (1, Dv)
template <class T>
void write_split(const Problem& problem, const Panel<T>& panel, std::ptrdiff_t first_row,
                 const RunningSoftmax<T>& state, const KeySplit<T>& split, T* rows);

}  // namespace heedful
