// Gradient of a table of vectors that were looked up:  dtable[ids[n]] += dy[n]
//   dy (N, D)   ids (N)   dtable (V, D)
// Rows are added in their order, by tasks that partition the columns: no two tasks write the same
// element, and the bits are the same for any number of threads.
#pragma once

#include <cstdint>

#include "arrays/matrix.hpp"
#include "parallel/cost.hpp"

namespace heedful {

// `ignored`: an id whose vector gets no gradient (padding).
template <class T>
void embedding_gradient(std::ptrdiff_t rows, std::ptrdiff_t columns, Matrix<const T> dy,
                        const std::int64_t* ids, std::int64_t ignored, Matrix<T> dtable,
                        const Team& team);

}  // namespace heedful
