// Applies a tile's mask and bias to its scores:
//   score[key][lane] += bias, −∞ where mask or bias hides the key
// One pass for a mask or a bias, two for both; the last one computes the maximum. Rows of bias that
// differ between lanes are read in place, W keys of W lanes at a time (W: the vector length),
// transposed in registers and added.
#pragma once

#include <cstddef>

#include "attention/problem/panel.hpp"
#include "attention/problem/problem.hpp"
#include "attention/scores/mask.hpp"

namespace heedful {

// scores (keys of the tile, lanes); maximum (lanes): updated with the maximum score of each lane,
// may be null. True if −∞ was written.
template <class T>
bool add_mask(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
              const MaskTile<T>& tile, T* scores, T* maximum);

}  // namespace heedful
