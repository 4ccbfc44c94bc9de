// Position encoding by rotating pairs of features (a, b) by the angles of their row:
//   y[a] = x[a] · cos[i] − x[b] · sin[i]            pair i of R/2: (i, i + R/2),
//   y[b] = x[b] · cos[i] + x[a] · sin[i]                           (2 i, 2 i + 1) if interleaved
//   x, y (B, H, L, D)   cos, sin (B, 1, L, R/2)
// Features from R on are copied. The gradient is the same with −sin.
#pragma once

#include "arrays/tensor_view.hpp"
#include "parallel/cost.hpp"

namespace heedful {

struct Rotary {
  std::ptrdiff_t items, heads, rows, depth;  // B, H, L, D
  std::ptrdiff_t pairs;                      // R/2
  bool interleaved;
  // cos and sin are of type T, with contiguous columns; y is of the type of x, and may be x.
  TensorView x, y, cos, sin;
};

inline Cost cost_of(const Rotary& call) {
  return Cost::of_elements(static_cast<double>(call.items * call.heads) *
                           static_cast<double>(call.rows * call.depth));
}

template <class T>
void rotate_rows(const Rotary& call, const Team& team);

}  // namespace heedful
