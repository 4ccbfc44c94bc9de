// The sizes of caches: those of a processor that exists.
#include "arrays/cache_sizes.hpp"
#include "check.hpp"

int main() {
  using namespace heedful;
  const CacheSizes& sizes = cache_sizes();
  check(sizes.l1 >= 8 << 10 && sizes.l1 <= 1 << 20, "L1 holds some ten KB");
  check(sizes.l2 > sizes.l1 && sizes.l2 <= 256 << 20, "L2 is larger");
  check(&cache_sizes() == &sizes, "read once");
  return summary();
}
