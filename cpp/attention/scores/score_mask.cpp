#include "attention/scores/score_mask.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "arrays/rows.hpp"
#include "attention/problem/score_unit.hpp"
#include "attention/scores/bias_row.hpp"
#include "simd/half.hpp"
#include "simd/lane_bits.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

template <class T>
inline constexpr T minus_infinity = -std::numeric_limits<T>::infinity();

// One value for all lanes of a key.
template <class T>
void add_uniform(const T* values, std::ptrdiff_t keys, int lanes, T* scores, T* maximum) {
  const auto hidden = simd::broadcast(minus_infinity<T>);
  for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
    auto greatest = hidden;
    T* score = scores + lane;
    for (std::ptrdiff_t key = 0; key < keys; ++key, score += lanes) {
      // selected, not added: the score of a hidden key may be NaN
      const T value = values[key];
      const auto total = value == minus_infinity<T>
                             ? hidden
                             : simd::add(simd::load(score), simd::broadcast(value));
      simd::store(score, total);
      greatest = simd::maximum(greatest, total);
    }
    if (maximum) {
      simd::store(maximum + lane, simd::maximum(simd::load(maximum + lane), greatest));
    }
  }
}

// The scores of one vector of lanes.
template <class T>
struct LaneScores {
  T* scores;
  std::ptrdiff_t stride;  // to the next key
  std::ptrdiff_t keys;
  simd::Packet<T> greatest;  // by the last pass

  void set(std::ptrdiff_t key, const simd::Packet<T>& score) {
    simd::store(scores + key * stride, score);
    greatest = simd::maximum(greatest, score);
  }
};

// hidden[word][lane]
template <class T>
void hide(LaneScores<T>& lane, const simd::Bits<T>* hidden) {
  constexpr std::ptrdiff_t bits = simd::bits<T>;
  const auto nothing = simd::broadcast(minus_infinity<T>);
  LaneScores<T> here = lane;  // a copy, which registers can hold
  here.greatest = nothing;
  for (std::ptrdiff_t key = lane.keys - 1; key >= 0;) {
    simd::LaneBits<T> word(hidden + key / bits * lane.stride, key % bits);
    const std::ptrdiff_t begin = key / bits * bits;
    for (; key >= begin; --key) {
      here.set(key, word.select(nothing, simd::load(here.scores + key * here.stride)));
      word.step();
    }
  }
  lane.greatest = here.greatest;
}

// Which keys of a square are meant: the others were added before, or are none.
struct Part {
  std::ptrdiff_t begin, end;
};

template <bool BiasHides, bool Whole, class T>
inline void add_turned(LaneScores<T>& lane, std::ptrdiff_t key, const simd::Square<T>& square,
                       Part part) {
  const auto nothing = simd::broadcast(minus_infinity<T>);
  LaneScores<T> here = lane;
#pragma GCC unroll 16
  for (int i = 0; i < simd::lanes<T>; ++i) {
    if (!Whole && (i < part.begin || i >= part.end)) continue;
    auto total = simd::add(simd::load(here.scores + (key + i) * here.stride), square.packet[i]);
    // selected, not added: the score of a hidden key may be NaN
    if (BiasHides) total = simd::select(simd::equal(square.packet[i], nothing), nothing, total);
    here.set(key + i, total);
  }
  lane.greatest = here.greatest;
}

// The biases of W keys from `key` on, `byte` bytes into each row. True when −∞ is among them.
template <class T, class From>
bool add_square(LaneScores<T>& lane, const char* const* rows, std::ptrdiff_t byte,
                std::ptrdiff_t key, Part part) {
  constexpr int width = simd::lanes<T>;
  simd::Square<T> square;
  auto least = simd::broadcast(T{0});  // never NaN
#pragma GCC unroll 16
  for (int i = 0; i < width; ++i) {
    square.packet[i] = simd::load(reinterpret_cast<const From*>(rows[i] + byte));
    least = simd::minimum(least, square.packet[i]);
  }
  simd::transpose<T>(square);
  // where minima of NaN are NaN it is not known
  if (!(simd::min_lane(least) > minus_infinity<T>)) {
    add_turned<true, false>(lane, key, square, part);
    return true;
  }
  if (part.end - part.begin == width) {
    add_turned<false, true>(lane, key, square, part);
  } else {
    add_turned<false, false>(lane, key, square, part);
  }
  return false;
}

// From copies of rows that cannot be read a vector at a time, or are in another unit.
template <class T>
bool add_copied(LaneScores<T>& lane, const TensorView& bias, const char* const* rows, double unit) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  constexpr std::ptrdiff_t chunk = 64, bytes = sizeof(T);
  alignas(64) T copy[width * chunk];
  bool hides = false;
  for (std::ptrdiff_t first = 0; first < lane.keys; first += chunk) {
    const std::ptrdiff_t size = std::min(chunk, lane.keys - first);
    const char* copies[width];
    for (std::ptrdiff_t i = 0; i < width; ++i) {
      T* const to = copy + i * chunk;
      read_bias(bias, rows[i] + first * bias.column_stride, unit, to, size);
      std::fill(to + size, to + padded<T>(size), T{0});
      copies[i] = reinterpret_cast<const char*>(to);
    }
    for (std::ptrdiff_t key = 0; key < size; key += width) {
      hides |= add_square<T, T>(lane, copies, key * bytes, first + key,
                                {0, std::min(width, size - key)});
    }
  }
  return hides;
}

// How many keys to take apart so that the others are read a vector at a time from where vectors
// divide cache lines: rows 4 KB apart share a set of the first cache, which would not keep the rest
// of a line until the next vector. 0 where rows are not all the same way from that.
template <class T>
std::ptrdiff_t keys_before_line(const TensorView& bias, const char* row) {
  const std::ptrdiff_t size = element_size(bias.type), vector = simd::lanes<T> * size;
  const std::ptrdiff_t behind = static_cast<std::ptrdiff_t>(reinterpret_cast<std::uintptr_t>(row) %
                                                            static_cast<std::uintptr_t>(vector));
  if (bias.row_stride % vector != 0 || bias.column_stride != size || behind == 0) return 0;
  return (vector - behind) / size;
}

// At least W keys.
template <class T, class From>
bool add_in_place(LaneScores<T>& lane, const TensorView& bias, const char* const* rows) {
  constexpr std::ptrdiff_t width = simd::lanes<T>, bytes = sizeof(From);
  bool hides = false;
  std::ptrdiff_t key = keys_before_line<T>(bias, rows[0]);
  if (key > 0) hides = add_square<T, From>(lane, rows, 0, 0, {0, key});
  while (key < lane.keys) {
    // the last square overlaps
    const std::ptrdiff_t begin = std::min(key, lane.keys - width);
    hides |= add_square<T, From>(lane, rows, begin * bytes, begin, {key - begin, width});
    key = begin + width;
  }
  return hides;
}

// The biases of a key side by side: a view of an array that was turned.
template <class T>
bool add_columns(LaneScores<T>& lane, const TensorView& bias, const char* column) {
  const auto nothing = simd::broadcast(minus_infinity<T>);
  LaneScores<T> here = lane;
  auto least = simd::broadcast(T{0});  // never NaN
  for (std::ptrdiff_t key = 0; key < here.keys; ++key, column += bias.column_stride) {
    const auto value = simd::load(reinterpret_cast<const T*>(column));
    const auto total = simd::add(simd::load(here.scores + key * here.stride), value);
    least = simd::minimum(least, value);
    here.set(key, simd::select(simd::equal(value, nothing), nothing, total));
  }
  lane.greatest = here.greatest;
  return !(simd::min_lane(least) > minus_infinity<T>);
}

template <class T>
bool side_by_side(const TensorView& bias, const char* const* rows) {
  for (std::ptrdiff_t i = 0; i < simd::lanes<T>; ++i) {
    if (rows[i] - rows[0] != i * element_size(bias.type)) return false;
  }
  return bias.type == element_type<T>;
}

template <class T>
bool add_rows(LaneScores<T>& lane, const TensorView& bias, const char* const* rows, double unit) {
  if (unit != 1) return add_copied(lane, bias, rows, unit);
  if (bias.column_stride == element_size(bias.type) && lane.keys >= simd::lanes<T>) {
    if (bias.type == element_type<T>) return add_in_place<T, T>(lane, bias, rows);
    if constexpr (sizeof(T) == sizeof(float)) {
      if (bias.type == ElementType::float16) {
        return add_in_place<T, simd::Float16>(lane, bias, rows);
      }
      if (bias.type == ElementType::bfloat16) {
        return add_in_place<T, simd::Bfloat16>(lane, bias, rows);
      }
    }
  }
  if (side_by_side<T>(bias, rows)) return add_columns(lane, bias, rows[0]);
  return add_copied(lane, bias, rows, unit);
}

}  // namespace

template <class T>
bool add_mask(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
              const MaskTile<T>& tile, T* scores, T* maximum) {
  constexpr int width = simd::lanes<T>;
  const int lanes = panel.lanes();
  const KeyRange keys = tile.keys;
  if (tile.values) {
    add_uniform(tile.values, keys.size(), lanes, scores, maximum);
    return tile.hides;
  }
  bool hides = tile.hides;
  const double unit = score_unit<T>(problem);
  for (int lane = 0; lane < lanes; lane += width) {
    LaneScores<T> some{scores + lane, lanes, keys.size(), simd::broadcast(minus_infinity<T>)};
    if (tile.bias) {
      const TensorView& bias = problem.bias;
      const char* rows[width];
      for (int i = 0; i < width; ++i) {
        rows[i] = bias.row(item, panel.head[lane + i], panel.query[lane + i]) +
                  keys.begin * bias.column_stride;
      }
      hides |= add_rows(some, bias, rows, unit);
    }
    if (tile.hidden) hide(some, tile.hidden + lane);
    if (maximum) {
      simd::store(maximum + lane, simd::maximum(simd::load(maximum + lane), some.greatest));
    }
  }
  return hides;
}

template bool add_mask(const Problem&, std::ptrdiff_t, const Panel<float>&, const MaskTile<float>&,
                       float*, float*);
template bool add_mask(const Problem&, std::ptrdiff_t, const Panel<double>&,
                       const MaskTile<double>&, double*, double*);

}  // namespace heedful
