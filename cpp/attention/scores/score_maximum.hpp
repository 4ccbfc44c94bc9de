// The maximum score of each lane: updates maximum (lanes) with scores (keys, lanes).
#pragma once

#include <cstddef>

#include "simd/packet.hpp"

namespace heedful {

template <class T>
void update_maximum(const T* scores, int lanes, std::ptrdiff_t keys, T* maximum) {
  for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
    auto maxima = simd::load(maximum + lane);
    for (std::ptrdiff_t key = 0; key < keys; ++key) {
      maxima = simd::maximum(maxima, simd::load(scores + key * lanes + lane));
    }
    simd::store(maximum + lane, maxima);
  }
}

// maximum[lane] = max(maximum[lane], other[lane])
template <class T>
void raise_maximum(const T* other, int lanes, T* maximum) {
  for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
    simd::store(maximum + lane,
                simd::maximum(simd::load(other + lane), simd::load(maximum + lane)));
  }
}

}  // namespace heedful
