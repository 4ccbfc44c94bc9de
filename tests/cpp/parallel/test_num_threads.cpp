// The default number of threads follows OpenMP at the time of the call.
#include <omp.h>

#include <algorithm>

#include "check.hpp"
#include "parallel/cpu_quota.hpp"
#include "parallel/num_threads.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {
namespace {

int under_quota(int threads) {
  const int quota = cpu_quota();
  return quota == 0 ? threads : std::min(threads, quota);
}

void the_default_is_that_of_openmp_at_the_call() {
  const int before = omp_get_max_threads();
  check(default_num_threads() == under_quota(before), "what OpenMP would use");
  omp_set_num_threads(3);
  check(default_num_threads() == under_quota(3), "a limit set since then");
  omp_set_num_threads(1);
  check(default_num_threads() == 1, "one thread");
  omp_set_num_threads(before);
}

void inside_a_region_the_default_is_one() {
  int in_openmp = 0;
  std::atomic<int> maximum{0};
#pragma omp parallel num_threads(2)
  {
#pragma omp single
    in_openmp = default_num_threads();
  }
  parallel_for(5, Team{2, nullptr}, 0, [&](std::ptrdiff_t, Worker&) {
    maximum = std::max(maximum.load(), default_num_threads());
  });
  check(in_openmp == 1, "one thread inside a region of OpenMP's");
  check(maximum == 1, "one thread inside a task");
  parallel_for(1, Team{1, nullptr}, 0, [&](std::ptrdiff_t, Worker&) {
    check(default_num_threads() == 1, "one thread inside a serial task");
  });
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::the_default_is_that_of_openmp_at_the_call();
  heedful::inside_a_region_the_default_is_one();
  return heedful::summary();
}
