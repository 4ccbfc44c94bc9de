#include "parallel/parallel_for.hpp"

#include "parallel/region.hpp"
#include "parallel/scratch.hpp"

namespace heedful {

void detail::run(std::ptrdiff_t tasks, const Team& team, std::size_t scratch_bytes, Body body,
                 const void* function) {
  if (tasks <= 0) return;
  const bool alone = team.threads <= 1 || tasks == 1 || Region::is_serial_here();
  const WorkAreas areas(alone ? 1 : team.threads, scratch_bytes);
  if (Region::current() != nullptr) return Region::work_inside(tasks, areas, body, function);

  Region region(tasks, team, areas, body, function);
  if (alone) {
    region.work_alone();
  } else {
    region.work_together();
  }
}

}  // namespace heedful
