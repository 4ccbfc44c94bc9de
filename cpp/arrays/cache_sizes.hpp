// The sizes of this processor's data caches, read once from the system.
#pragma once

#include <cstddef>

namespace heedful {

struct CacheSizes {
  std::ptrdiff_t l1, l2;  // in bytes, of a core
};

const CacheSizes& cache_sizes();

}  // namespace heedful
