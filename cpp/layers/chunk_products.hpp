// Products of the rows of a chunk of a sequence, in scratch memory: rows that fill whole vectors,
// zeros past the last column. Scores of a causal chunk are lower triangular, since row i sees the
// rows j ≤ i of its own chunk.
#pragma once

#include <cstddef>

#include "arrays/matrix.hpp"

namespace heedful {

// Most rows of a chunk: whole vectors of any length.
inline constexpr std::ptrdiff_t chunk_rows = 64;

// y = x m over `count` rows.   x (count, depth)   m (depth, width of y)
template <class T>
void multiply_rows(std::ptrdiff_t count, Matrix<T> x, std::ptrdiff_t depth, Matrix<T> m,
                   Matrix<T> y);

// sum += xᵀ y over `count` rows.   x (count, columns)   sum (columns, width of y)
template <class T>
void add_outer(std::ptrdiff_t count, Matrix<T> x, std::ptrdiff_t columns, Matrix<T> y,
               Matrix<T> sum);

// sum += Σ_i factors[i] x[i], or Σ_i x[i] without factors.   sum (width of x)
template <class T>
void add_rows(std::ptrdiff_t count, Matrix<T> x, const T* factors, T* sum);

// The columns of x as rows, in the memory of a panel (width of x, chunk_rows): its stride is the
// count rounded up to full vectors, and zeros follow the last row of x.
template <class T>
Matrix<T> transpose_chunk(std::ptrdiff_t count, Matrix<T> x, T* panel);

template <class T>
struct LowerScores {
  std::ptrdiff_t count;
  Matrix<T> scores;  // (count, count rounded up to full vectors)

  // scores[i][j] = x[i] · y[j] + shifts[i] for j ≤ i, from the transpose of y; without shifts
  // nothing is added.
  void compute(Matrix<T> x, std::ptrdiff_t depth, Matrix<T> transposed_y,
               const T* shifts = nullptr) const;
  T row_sum(std::ptrdiff_t i) const;  // Σ_{j ≤ i} scores[i][j]

  // What a row does not see has no effect, NaN and ∞ included.
  void add_to_queries(Matrix<T> y, Matrix<T> out) const;  // out[i] += Σ_{j ≤ i} scores[i][j] y[j]
  void add_to_keys(Matrix<T> x, Matrix<T> out) const;     // out[j] += Σ_{i ≥ j} scores[i][j] x[i]
};

}  // namespace heedful
