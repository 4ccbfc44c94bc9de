// Numbers of 32 bits rounded to 16, to the nearest and then to even, as gradients are when they are
// whole: what is too great becomes infinite, NaN stays NaN.
//   wide, narrow (count), one after another
#pragma once

#include "arrays/tensor_view.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

void narrow(const float* wide, char* narrow, ElementType type, std::ptrdiff_t count,
            const Team& team);

}  // namespace heedful
