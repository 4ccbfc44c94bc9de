// How many threads compute when no number was set.
#pragma once

namespace heedful {

// The number that OpenMP would use now (OMP_NUM_THREADS, omp_set_num_threads, the processor
// affinity at start), never more than the container's quota, which is read at the first call. 1
// inside a parallel region, of OpenMP's or of heedful's.
int default_num_threads();

}  // namespace heedful
