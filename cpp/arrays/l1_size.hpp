// The size of a core's L1 data cache in bytes, read once from the system.
#pragma once

#include <cstddef>

namespace heedful {

std::ptrdiff_t l1_size();

}  // namespace heedful
