// The OpenMP threads of another library of this process, PyTorch's for one, as the threads of a
// call, in place of the pool.
//
// Such a library's threads spin for a while after each of its operations. Where these and heedful's
// calls alternate, the pool's threads would compete with them for the processors. In one team there
// are no more threads than processors, and those that spin are at work at once.
//
// An OpenMP team is one of the thread that calls: every thread has its own. Its end waits for all
// members, also for one that has no processor, see pool.hpp. Where a call had to wait so, the calls
// of the thread run in the pool for twenty times as long.
#pragma once

#include <atomic>

namespace heedful {

class Region;

// What GNU's compiler calls at the begin and end of a parallel region; LLVM's and Intel's libraries
// have it, too. `start` lets all other members execute member(data), and returns; the caller takes
// its own part, and `end` waits for the others. 0 threads: as many as the library would use here.
struct OpenMpLibrary {
  void (*start)(void (*member)(void* data), void* data, unsigned threads) = nullptr;
  void (*end)() = nullptr;
};

// The library of this process and its forked children, in which it is not used: the threads that it
// has started do not exist there. To be called before any exchange_openmp_here(true).
void set_openmp_library(const OpenMpLibrary& library) noexcept;

// Whether regions that the calling thread starts from now on run in its team in that library.
// Returns what held before.
bool exchange_openmp_here(bool use) noexcept;

// The library in which a region of the calling thread runs now; nullptr: in the pool.
const OpenMpLibrary* openmp_library_here() noexcept;

// One region's request for members of the calling thread's team. It must exist until its end.
class TeamRequest {
 public:
  // At most `members` of them execute tasks, the others return at once.
  TeamRequest(Region& region, int members) : region_(region), members_(members) {}

  void start(const OpenMpLibrary& library);

  // Whether no member executes a task. One that is late finds none.
  bool is_empty() const noexcept { return working_.load(std::memory_order_acquire) == 0; }

  // Waits for the members that are late, once the request is empty.
  static void end(const OpenMpLibrary& library);

 private:
  void run_member() noexcept;

  Region& region_;
  const int members_;
  std::atomic<int> joined_{0};
  std::atomic<int> working_{0};
};

}  // namespace heedful
