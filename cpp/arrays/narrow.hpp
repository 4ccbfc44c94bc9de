// float32 rounded to a 16-bit type, to nearest even, as complete gradients are: values too large
// become infinite, NaN stays NaN.
//   wide, narrow (count), contiguous
#pragma once

#include "arrays/tensor_view.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

void narrow(const float* wide, char* narrow, ElementType type, std::ptrdiff_t count,
            const Team& team);

}  // namespace heedful
