#include "simd/processor.hpp"

#include <cstdint>
#include <cstring>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace heedful::simd {
namespace {

#if defined(__x86_64__) || defined(__i386__)

// The states that the operating system saves (XCR0), 0 where it does not say.
std::uint64_t saved_states() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  constexpr unsigned osxsave = 1u << 27;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & osxsave)) return 0;
  std::uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | std::uint64_t{high} << 32;
}

Processor detect() {
  Processor found;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (!__get_cpuid(0, &eax, &ebx, &ecx, &edx)) return found;
  std::memcpy(found.vendor, &ebx, 4);
  std::memcpy(found.vendor + 4, &edx, 4);
  std::memcpy(found.vendor + 8, &ecx, 4);
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx)) return found;
  const unsigned family = eax >> 8 & 15, model = eax >> 4 & 15;
  found.family = static_cast<int>(family == 15 ? family + (eax >> 20 & 255) : family);
  found.model =
      static_cast<int>(family == 6 || family == 15 ? model | (eax >> 16 & 15) << 4 : model);
  constexpr std::uint64_t tile_states = std::uint64_t{3} << 17;  // configuration and data
  if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx)) return found;
  found.has_tiles = (edx >> 24 & 1) != 0 && (saved_states() & tile_states) == tile_states;
  found.has_bfloat16_tiles = found.has_tiles && (edx >> 22 & 1) != 0;
  found.has_int8_tiles = found.has_tiles && (edx >> 25 & 1) != 0;
  found.has_avx512_vnni = (ecx >> 11 & 1) != 0;
  found.has_avx_vnni = __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) && (eax >> 4 & 1) != 0;
  return found;
}

#else

Processor detect() { return {}; }

#endif

}  // namespace

const Processor& processor() {
  static const Processor found = detect();
  return found;
}

}  // namespace heedful::simd
