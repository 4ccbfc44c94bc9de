#include "arrays/cache_sizes.hpp"

#include <unistd.h>

namespace heedful {
namespace {

// The size as the system states it, or `usual` where it does not know.
std::ptrdiff_t size_of([[maybe_unused]] int name, std::ptrdiff_t usual) {
  const long size = name < 0 ? 0 : sysconf(name);
  return size > 0 ? static_cast<std::ptrdiff_t>(size) : usual;
}

#ifdef _SC_LEVEL1_DCACHE_SIZE
constexpr int l1_name = _SC_LEVEL1_DCACHE_SIZE, l2_name = _SC_LEVEL2_CACHE_SIZE;
#else
constexpr int l1_name = -1, l2_name = -1;
#endif

}  // namespace

const CacheSizes& cache_sizes() {
  static const CacheSizes sizes{size_of(l1_name, 32 << 10), size_of(l2_name, 512 << 10)};
  return sizes;
}

}  // namespace heedful
