#include "parallel/parallel_for.hpp"

#include "parallel/region.hpp"
#include "parallel/scratch.hpp"

namespace heedful {

void detail::run(std::ptrdiff_t tasks, const Team& team, std::size_t scratch_bytes, Body body,
                 const void* function) {
  if (tasks <= 0) return;
  const bool serial = team.threads <= 1 || tasks == 1 || Region::is_serial_here();
  const ThreadScratch scratch(serial ? 1 : team.threads, scratch_bytes);
  if (Region::current() != nullptr) return Region::run_nested(tasks, scratch, body, function);

  Region region(tasks, team, scratch, body, function);
  if (serial) {
    region.run_serial();
  } else {
    region.run_parallel();
  }
}

}  // namespace heedful
