// The gradients of a range of keys of one key/value head, from the rows that kept them, in order:
//   dkey[key] = scale · Σ_row dproduct · query     dvalue[key] = Σ_row probability · dout
// and dbias[key] = Σ_row dscore, where all queries of a head share a row of it.
#pragma once

#include <cstddef>

#include "arrays/work_area.hpp"
#include "attention/backward/top_k/wave.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

// Rows whose contributions are summed in T. Sums of more are added in double: the error of a sum in
// T grows with its terms, and there may be millions of queries.
inline constexpr std::ptrdiff_t level_rows = 1024;

template <class T>
struct KeyScratch {
  std::size_t size;
  T* query;               // (D), padded with zeros, as are the rows below
  T* dout;                // (Dv)
  T* dkey;                // (keys, D)
  T* dvalue;              // (keys, Dv)
  double* dkey_totals;    // the levels summed before; null without several
  double* dvalue_totals;  // likewise
  double* bias_sums;      // (keys), of one head; null unless its queries share a row of dbias

  // `keys`: the maximum of a range; `rows`: that of a head.
  KeyScratch(const TopKBackward<T>& call, std::ptrdiff_t keys, std::ptrdiff_t rows,
             std::byte* memory);
};

template <class T>
void write_key_gradients(const TopKBackward<T>& call, const Wave<T>& wave, std::ptrdiff_t kv_head,
                         KeyRange keys, const KeyScratch<T>& scratch, Worker& worker);

}  // namespace heedful
