// The bump allocator of scratch memory.
#include <cstdint>

#include "arrays/work_area.hpp"
#include "check.hpp"

namespace heedful {
namespace {

void pieces_start_at_cache_lines_and_do_not_overlap() {
  alignas(64) std::byte memory[1024];
  WorkArea area(memory);
  float* const first = area.take<float>(3);
  double* const second = area.take<double>(8);
  double* const nothing = area.take<double>(0);
  char* const third = area.take<char>(65);
  check(reinterpret_cast<std::byte*>(first) == memory, "the first piece is the beginning");
  check(reinterpret_cast<std::byte*>(second) == memory + 64, "3 floats take a cache line");
  check(nothing == second + 8, "zero elements take no memory");
  check(reinterpret_cast<std::byte*>(third) == memory + 128, "8 doubles fill a cache line");
  check(area.size() == 256, "65 characters take two");
}

void without_memory_it_only_counts() {
  WorkArea area(nullptr);
  check(area.take<float>(100) == nullptr && area.take<char>(1) == nullptr,
        "pieces of a null area are null");
  check(area.size() == 448 + 64, "their size is counted nevertheless");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  pieces_start_at_cache_lines_and_do_not_overlap();
  without_memory_it_only_counts();
  return summary();
}
