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

constexpr int block_numbers = 64, block_counters = 16;
static_assert(task_numbers % block_numbers == 0);

std::uint32_t threshold(double p) {
  return static_cast<std::uint32_t>(std::min(std::nearbyint(p * 0x1p32), 0x1p32 - 1));
}

// Which numbers of the blocks of a task are kept: words of all ones and of all zeros.
class Kept {
 public:
  static constexpr int width = simd::word_lanes;
  static constexpr int draws = block_counters / width, words = block_numbers / width;

  Kept(const Dropout& dropout, std::ptrdiff_t first_block)
      : keys_(dropout.seed),
        least_(Words{} + threshold(dropout.p)),
        any_(dropout.p < 1 ? ~Words{} : Words{}) {
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
        kept[i * draws + draw] = (drawn[i] >= least_ ? ~Words{} : Words{}) & any_;
      }
    }
  }

 private:
  simd::PhiloxKeys keys_;
  Words least_, any_;
  simd::PhiloxLanes lanes_[draws];
};

// The words as wide as numbers.
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
  for (int vector = 0; vector < block_numbers / width; ++vector) {
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
  const std::ptrdiff_t first = begin / block_numbers, end = begin + count;
  const Kept kept(dropout, first);
  Words words[Kept::words];
  std::ptrdiff_t at = begin;
  for (; at + block_numbers <= end; at += block_numbers) {
    kept.of(at / block_numbers, words);
    drop_block<T, with_residual>(words, factor, x + at, residual + (with_residual ? at : 0),
                                 y + at);
  }
  if (at == end) return;
  T rest[block_numbers] = {}, added[block_numbers] = {};
  std::copy_n(x + at, end - at, rest);
  if constexpr (with_residual) std::copy_n(residual + at, end - at, added);
  kept.of(at / block_numbers, words);
  drop_block<T, with_residual>(words, factor, rest, added, rest);
  std::copy_n(rest, end - at, y + at);
}

}  // namespace

template <class T>
void drop_numbers(const Dropout& dropout, const T* x, const T* residual, T* y, std::ptrdiff_t count,
                  const Team& team) {
  const auto compute = residual ? drop_task<T, true> : drop_task<T, false>;
  in_number_tasks(count, team, [&](std::ptrdiff_t begin, std::ptrdiff_t numbers) {
    compute(dropout, x, residual, y, begin, numbers);
  });
}

template void drop_numbers(const Dropout&, const float*, const float*, float*, std::ptrdiff_t,
                           const Team&);
template void drop_numbers(const Dropout&, const double*, const double*, double*, std::ptrdiff_t,
                           const Team&);

}  // namespace heedful
