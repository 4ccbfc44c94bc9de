// Which processor this is, as CPUID names it, for tables of what was measured on it; and what it
// has beyond its level.
#pragma once

#include <string_view>

namespace heedful::simd {

struct Processor {
  char vendor[13] = "";  // "GenuineIntel", "AuthenticAMD"; empty except on x86
  int family = 0, model = 0;
  bool has_tiles = false;           // AMX-TILE, and the system saves its registers
  bool has_bfloat16_tiles = false;  // AMX-BF16, with these
  bool has_int8_tiles = false;      // AMX-INT8, with these
  bool has_avx_vnni = false;        // of 256 bits, where the level is v3
  bool has_avx512_vnni = false;     // of 512 bits, where the level is v4

  bool is(std::string_view name) const { return vendor == name; }
};

// Asked once per process.
const Processor& processor();

}  // namespace heedful::simd
