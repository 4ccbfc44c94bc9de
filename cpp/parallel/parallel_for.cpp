#include "parallel/parallel_for.hpp"

#include <omp.h>

#include "parallel/fork.hpp"
#include "parallel/region.hpp"
#include "parallel/scratch.hpp"

namespace heedful {
namespace {

// All threads of a new or kept OpenMP team work. Thread 0 is the one that opens the team.
// OpenMP may give fewer threads than asked for (OMP_THREAD_LIMIT, or a team around this one).
void open_team(Region& region, int threads, bool by_caller) {
#pragma omp parallel num_threads(threads)
  {
    const int thread = omp_get_thread_num();
    if (thread == 0 && by_caller) {
      region.work(thread, true);
      region.wait_for(omp_get_num_threads());
    } else {
      region.work_like_caller(thread);
    }
  }
}

}  // namespace

void detail::run(std::ptrdiff_t tasks, const Team& team, std::size_t scratch_bytes, Body body,
                 const void* function) {
  if (tasks <= 0) return;
  const bool serial = team.threads <= 1 || tasks == 1 || Region::is_serial_here();
  const WorkAreas areas(serial ? 1 : team.threads, scratch_bytes);
  if (Region::current() != nullptr) return Region::work_inside(tasks, areas, body, function);

  Region region(tasks, team, areas, body, function);
  if (serial) {
    region.work(0, true);
  } else if (!has_forked()) {
    open_team(region, team.threads, true);
  } else if (!run_on_stand_in([&] { open_team(region, team.threads, false); },
                              [&] { region.poll(); })) {
    region.work(0, true);
  }
  region.rethrow();
}

}  // namespace heedful
