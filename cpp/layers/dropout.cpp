#include "layers/dropout.hpp"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include "arrays/element_ranges.hpp"
#include "simd/packet.hpp"
#include "simd/philox.hpp"

namespace heedful {
namespace {

using simd::Packet;
using simd::Words;

constexpr int block_elements = 64, block_counters = 16;
static_assert(task_elements % block_elements == 0);

std::uint32_t threshold(double p) {
  return static_cast<std::uint32_t>(std::min(std::nearbyint(p * 0x1p32), 0x1p32 - 1));
}

// Which elements of the blocks of a task are kept: words of all ones or all zeros.
class KeepMask {
 public:
  static constexpr int width = simd::word_lanes;
  static constexpr int draws = block_counters / width, words = block_elements / width;

  KeepMask(const Dropout& dropout, std::ptrdiff_t first_block)
      : keys_(dropout.seed),
        threshold_(Words{} + threshold(dropout.p)),
        enabled_(dropout.p < 1 ? ~Words{} : Words{}) {
    for (int draw = 0; draw < draws; ++draw) {
      Words counters{};
      for (int i = 0; i < width; ++i) counters[i] = static_cast<std::uint32_t>(draw * width + i);
      lanes_[draw] = simd::PhiloxLanes(counters, Words{},
                                       static_cast<std::uint32_t>(first_block >> 32), keys_);
    }
  }

  void of(std::ptrdiff_t block, Words (&kept)[words]) const {
    for (int draw = 0; draw < draws; ++draw) {
      Words drawn[4];
      lanes_[draw].draw(static_cast<std::uint32_t>(block), keys_, drawn);
      for (int i = 0; i < 4; ++i) {
        kept[i * draws + draw] = (drawn[i] >= threshold_ ? ~Words{} : Words{}) & enabled_;
      }
    }
  }

 private:
  simd::PhiloxKeys keys_;
  Words threshold_, enabled_;
  simd::PhiloxLanes lanes_[draws];
};

// The words widened to the size of an element.
template <class T>
Packet<T> mask(const Words* kept, int vector) {
  if constexpr (std::is_same_v<T, float>) {
    return simd::bits_as<Packet<T>>(kept[vector]);
  } else {
    typedef std::int32_t Narrow __attribute__((vector_size(2 * simd::word_lanes)));
    typedef std::int64_t Wide __attribute__((vector_size(4 * simd::word_lanes)));
    Narrow narrow;
    std::memcpy(
        &narrow,
        reinterpret_cast<const char*>(kept) + static_cast<std::size_t>(vector) * sizeof(narrow),
        sizeof(narrow));
    return simd::bits_as<Packet<T>>(__builtin_convertvector(narrow, Wide));
  }
}

template <class T, bool with_residual>
void drop_block(const Words* kept, T factor, const T* x, const T* residual, T* y) {
  constexpr int width = simd::lanes<T>;
  const Packet<T> scale = simd::broadcast(factor);
#pragma GCC unroll 4
  for (int vector = 0; vector < block_elements / width; ++vector) {
    const int at = vector * width;
    // selected, not multiplied: a dropped NaN is 0
    Packet<T> value = simd::both(mask<T>(kept, vector), simd::multiply(simd::load(x + at), scale));
    if constexpr (with_residual) value = simd::add(value, simd::load(residual + at));
    simd::store(y + at, value);
  }
}

template <class T, bool with_residual>
void drop_task(const Dropout& dropout, const T* x, const T* residual, T* y, std::ptrdiff_t begin,
               std::ptrdiff_t count) {
  const T factor = static_cast<T>(dropout.p < 1 ? 1 / (1 - dropout.p) : 0);
  const std::ptrdiff_t first = begin / block_elements, end = begin + count;
  const KeepMask keep_mask(dropout, first);
  Words words[KeepMask::words];
  std::ptrdiff_t at = begin;
  for (; at + block_elements <= end; at += block_elements) {
    keep_mask.of(at / block_elements, words);
    drop_block<T, with_residual>(words, factor, x + at, residual + (with_residual ? at : 0),
                                 y + at);
  }
  if (at == end) return;
  T tail[block_elements] = {}, added[block_elements] = {};
  std::copy_n(x + at, end - at, tail);
  if constexpr (with_residual) std::copy_n(residual + at, end - at, added);
  keep_mask.of(at / block_elements, words);
  drop_block<T, with_residual>(words, factor, tail, added, tail);
  std::copy_n(tail, end - at, y + at);
}

}  // namespace

template <class T>
void apply_dropout(const Dropout& dropout, const T* x, const T* residual, T* y,
                   std::ptrdiff_t count, const Team& team) {
  const auto compute = residual ? drop_task<T, true> : drop_task<T, false>;
  parallel_for_elements(count, team, [&](std::ptrdiff_t begin, std::ptrdiff_t length) {
    compute(dropout, x, residual, y, begin, length);
  });
}

template void apply_dropout(const Dropout&, const float*, const float*, float*, std::ptrdiff_t,
                            const Team&);
template void apply_dropout(const Dropout&, const double*, const double*, double*, std::ptrdiff_t,
                            const Team&);

}  // namespace heedful
