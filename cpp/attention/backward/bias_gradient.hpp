// The gradient of an additive bias: dscores, added to rows of the caller's array.
#pragma once

#include <cstddef>

#include "arrays/tensor_view.hpp"
#include "attention/backward/tensors.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

// How the tasks add to dbias.
enum class BiasAdds : unsigned char {
  none,
  own_row,      // one row for all queries of a head: a task accumulates it and writes its keys once
  with_dquery,  // each query has its own row: added together with dquery
  shared        // several items or heads add to a row: in the order of tickets
};

inline BiasAdds bias_adds(const BackwardTensors& tensors) {
  const TensorView& dbias = tensors.dbias;
  if (!dbias) return BiasAdds::none;
  if (tensors.shared_dbias) return BiasAdds::shared;
  const bool one_row = dbias.row_stride == 0 && dbias.column_stride != 0;
  return one_row ? BiasAdds::own_row : BiasAdds::with_dquery;
}

// dbias[query][key] += dscores[key][lane], in the order of the calls; without keys nothing is
// accessed. A broadcast axis of dbias has stride 0 and is summed over.
//   dscores (keys, lanes) of the panel   dbias of type T
template <class T>
void add_bias_gradient(const TensorView& dbias, std::ptrdiff_t item, const Panel<T>& panel,
                       KeyRange keys, const T* dscores);

// sums[key] += Σ_lane dscores[key][lane] over the panel's queries, for a dbias with one row for all
// queries. In double, because there may be millions of them.
template <class T>
void sum_bias_gradient(const Panel<T>& panel, std::ptrdiff_t keys, const T* dscores, double* sums);

// dbias[key] = sums[key − keys.begin], for all queries of a head.
template <class T>
void write_bias_gradient(const TensorView& dbias, std::ptrdiff_t item, std::ptrdiff_t head,
                         KeyRange keys, const double* sums);

}  // namespace heedful
