// Numbers of 16 bits, float16 (IEEE binary16) and bfloat16, widened to float and narrowed with
// rounding to even.
#pragma once

#include <cstddef>
#include <cstdint>

#include "simd/packet.hpp"

namespace heedful::simd {

inline void widen_bfloat16(const std::uint16_t* from, float* to, std::ptrdiff_t count) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    to[i] = bits_as<float>(static_cast<std::uint32_t>(from[i]) << 16);
  }
}

inline void narrow_bfloat16(const float* from, std::uint16_t* to, std::ptrdiff_t count) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const auto bits = bits_as<std::uint32_t>(from[i]);
    const std::uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    const std::uint32_t quiet_nan = (bits >> 16) | 0x40u;
    to[i] = static_cast<std::uint16_t>(from[i] == from[i] ? rounded : quiet_nan);
  }
}

inline void widen_float16(const std::uint16_t* from, float* to, std::ptrdiff_t count) {
  using Eigen::Map;
  Map<Eigen::Array<float, Eigen::Dynamic, 1>>(to, count) =
      Map<const Eigen::Array<Eigen::half, Eigen::Dynamic, 1>>(
          reinterpret_cast<const Eigen::half*>(from), count)
          .template cast<float>();
}

inline void narrow_float16(const float* from, std::uint16_t* to, std::ptrdiff_t count) {
  using Eigen::Map;
  Map<Eigen::Array<Eigen::half, Eigen::Dynamic, 1>>(reinterpret_cast<Eigen::half*>(to), count) =
      Map<const Eigen::Array<float, Eigen::Dynamic, 1>>(from, count).template cast<Eigen::half>();
}

}  // namespace heedful::simd
