// Padded sequences whose valid rows lie step after step, as in PyTorch's PackedSequence:
//
//   sequences   a0 a1 a2 a3      rows     a0 b0 c0  a1 b1 c1  a2 b2  a3
//               b0 b1 b2         counts   3         3         2      1       falling
//               c0 c1            begins   0         3         6      8
//
// Sequence s has a row at step t where s < counts[t]. The k-th step of the computation is step k,
// or in reverse the k-th from the end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arrays/matrix.hpp"

namespace heedful {

struct Steps {
  std::ptrdiff_t sequences;  // B; those without a position, the last ones, have no row
  std::ptrdiff_t count;
  const std::int64_t *counts, *begins;  // (count)
  bool reverse;

  std::ptrdiff_t step(std::ptrdiff_t k) const { return reverse ? count - 1 - k : k; }
  std::ptrdiff_t rows(std::ptrdiff_t k) const { return counts[step(k)]; }
  std::ptrdiff_t begin(std::ptrdiff_t k) const { return begins[step(k)]; }
  std::ptrdiff_t all_rows() const { return count ? begins[count - 1] + counts[count - 1] : 0; }
  // Sequences of the k-th step that have a row in the one computed before it.
  std::ptrdiff_t continued(std::ptrdiff_t k) const {
    return k == 0 ? 0 : std::min(rows(k), rows(k - 1));
  }
};

// A state of all sequences: after each step, and before their first one.
template <class T>
struct StateRows {
  Matrix<const T> after;  // (rows, H)
  Matrix<const T> first;  // (B, H)

  // Before the k-th step. Those of the sequences that continue lie one after another in `after`,
  // those of the others in `first`.
  const T* before(const Steps& steps, std::ptrdiff_t k, std::ptrdiff_t sequence) const {
    return sequence < steps.continued(k) ? after.row(steps.begin(k - 1) + sequence)
                                         : first.row(sequence);
  }
  std::ptrdiff_t stride(const Steps& steps, std::ptrdiff_t k, std::ptrdiff_t sequence) const {
    return sequence < steps.continued(k) ? after.stride : first.stride;
  }
};

}  // namespace heedful
