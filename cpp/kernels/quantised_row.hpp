// Rows of activations as 8-bit integers, each by its own range:
//   x[k] ≈ scale · (q[k] − zero)      q = min(rint(x / scale) + zero, 255)
//   scale = (high − low) / 255        zero = −rint(low / scale)
// with low = min(0, min x) and high = max(0, max x), so that 0 is exact and 0 ≤ q ≤ 255. All
// operations are rounded alike on every processor. (Dynamic affine quantisation: Jacob et al. 2018,
// https://arxiv.org/abs/1712.05877.)
//
// A row with an element that is not finite has the scale NaN, and q = zero = 0.
#pragma once

#include <cstddef>
#include <cstdint>

namespace heedful {

struct RowRange {
  float scale, inverse;
  std::int32_t zero;

  static RowRange of(const float* x, std::ptrdiff_t count);
};

// Integer: std::uint8_t or std::int16_t.
template <class Integer>
void quantise(const float* x, std::ptrdiff_t count, const RowRange& range, Integer* q);

}  // namespace heedful
