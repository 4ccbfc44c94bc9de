#include "parallel/openmp_team.hpp"

#include <chrono>
#include <utility>

#include "parallel/fork.hpp"
#include "parallel/region.hpp"

namespace heedful {
namespace {

OpenMpLibrary library_of_process;
int generation_of_library = 0;

using Clock = std::chrono::steady_clock;

// A member that is awake takes a microsecond to end, one that sleeps is woken within 50.
constexpr std::chrono::microseconds kLate{200};
constexpr int kWaitsOfPool = 20;

thread_local bool used_here = false;
thread_local Clock::time_point pool_until{};

}  // namespace

void set_openmp_library(const OpenMpLibrary& library) noexcept {
  library_of_process = library;
  generation_of_library = generation();
}

bool exchange_openmp_here(bool use) noexcept { return std::exchange(used_here, use); }

const OpenMpLibrary* openmp_library_here() noexcept {
  const bool usable =
      used_here && library_of_process.start != nullptr && generation_of_library == generation();
  return usable && Clock::now() >= pool_until ? &library_of_process : nullptr;
}

void TeamRequest::start(const OpenMpLibrary& library) {
  library.start([](void* request) { static_cast<TeamRequest*>(request)->run_member(); }, this, 0);
}

void TeamRequest::end(const OpenMpLibrary& library) {
  const auto start = Clock::now();
  library.end();
  const auto now = Clock::now();
  if (now - start > kLate) pool_until = now + kWaitsOfPool * (now - start);
}

void TeamRequest::run_member() noexcept {
  working_.fetch_add(1, std::memory_order_relaxed);
  if (region_.has_tasks()) {
    const int thread = 1 + joined_.fetch_add(1, std::memory_order_relaxed);
    if (thread <= members_) region_.run_on_worker(thread);
  }
  working_.fetch_sub(1, std::memory_order_release);
}

}  // namespace heedful
