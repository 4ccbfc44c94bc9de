// Products with rows that a list of addresses names, which may be anywhere in memory:
//   dot_listed     products[i] = Σ_column query[column] · rows[i][column]
//   weigh_listed   sum[column] (+)= Σ_i weights[i] · rows[i][column]
// The lanes run over the columns. query and sum are vectors as in RowVectors, query with zeros
// where the last vector repeats lanes; rows are no shorter than a vector or padded to one.
#pragma once

#include <cstddef>

#include "kernels/row_vectors.hpp"

namespace heedful {

// The products have room for a whole vector past the end.
template <class T>
void dot_listed(const T* query, const T* const* rows, std::ptrdiff_t count,
                const RowVectors<T>& vectors, T* products);

template <class T>
void weigh_listed(const T* weights, const T* const* rows, std::ptrdiff_t count,
                  const RowVectors<T>& vectors, bool accumulate, T* sum);

}  // namespace heedful
