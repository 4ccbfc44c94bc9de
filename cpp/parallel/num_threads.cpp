#include "parallel/num_threads.hpp"

#include <omp.h>

#include <algorithm>
#include <atomic>

#include "parallel/cpu_quota.hpp"
#include "parallel/region.hpp"

namespace heedful {

int default_num_threads() {
  if (Region::is_serial_here() || omp_in_parallel()) return 1;
  // Not a static with an initializer: a fork during its initialization would make the child wait
  // for it forever.
  constexpr int kUnread = -1;
  static std::atomic<int> quota{kUnread};
  int processors = quota.load(std::memory_order_relaxed);
  if (processors == kUnread) quota = processors = cpu_quota();
  const int threads = std::min(omp_get_max_threads(), omp_get_thread_limit());
  return std::max(1, processors == 0 ? threads : std::min(threads, processors));
}

}  // namespace heedful
