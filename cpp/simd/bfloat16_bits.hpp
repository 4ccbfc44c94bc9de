// The bits of one bfloat16 number.
#pragma once

#include <cstdint>
#include <cstring>

namespace heedful::simd {

inline bool is_finite(std::uint16_t bits) { return (bits & 0x7F80) != 0x7F80; }

// A subnormal is 0, as in the products of tiles.
inline float float_of(std::uint16_t bits) {
  const std::uint32_t wide = static_cast<std::uint32_t>(bits) << 16;
  const std::uint32_t flushed = (wide & 0x7F800000u) == 0 ? wide & 0x80000000u : wide;
  float value;
  std::memcpy(&value, &flushed, sizeof(value));
  return value;
}

}  // namespace heedful::simd
