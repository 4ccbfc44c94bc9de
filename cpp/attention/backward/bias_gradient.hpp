// The gradient of an additive bias: that of the scores, added to rows of the caller's array.
#pragma once

#include <cstddef>

#include "arrays/tensor_view.hpp"
#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"

namespace heedful {

// dbias[query][key] += dscores[key][lane], in the order of the calls. An axis of dbias that is
// broadcast has stride 0 and is summed over.
//   dscores (keys, lanes) of the panel   dbias of type T
template <class T>
void add_bias_gradient(const TensorView& dbias, std::ptrdiff_t item, const Panel<T>& panel,
                       KeyRange keys, const T* dscores);

// sums[key] += Σ_lane dscores[key][lane] over the panel's queries: what they add to a dbias whose
// rows are one. In double, because there may be millions of them.
template <class T>
void sum_bias_gradient(const Panel<T>& panel, std::ptrdiff_t keys, const T* dscores, double* sums);

}  // namespace heedful
