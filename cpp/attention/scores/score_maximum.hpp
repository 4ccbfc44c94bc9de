// The greatest score of each lane: maximum (lanes) is raised to that of scores (keys, lanes).
#pragma once

#include <cstddef>

#include "simd/packet.hpp"

namespace heedful {

template <class T>
void raise_maximum(const T* scores, int lanes, std::ptrdiff_t keys, T* maximum) {
  for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
    auto greatest = simd::load(maximum + lane);
    for (std::ptrdiff_t key = 0; key < keys; ++key) {
      greatest = simd::maximum(greatest, simd::load(scores + key * lanes + lane));
    }
    simd::store(maximum + lane, greatest);
  }
}

}  // namespace heedful
