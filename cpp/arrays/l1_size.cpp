#include "arrays/l1_size.hpp"

#include <unistd.h>

namespace heedful {

std::ptrdiff_t l1_size() {
  static const std::ptrdiff_t size = [] {
#ifdef _SC_LEVEL1_DCACHE_SIZE
    const long stated = sysconf(_SC_LEVEL1_DCACHE_SIZE);
    if (stated > 0) return static_cast<std::ptrdiff_t>(stated);
#endif
    return std::ptrdiff_t{32 << 10};  // the system does not know
  }();
  return size;
}

}  // namespace heedful
