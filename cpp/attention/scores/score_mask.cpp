#include "attention/scores/score_mask.hpp"

#include <algorithm>
#include <cstdint>

#include "arrays/rows.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/problem/score_unit.hpp"
#include "attention/scores/bias_row.hpp"
#include "simd/half.hpp"
#include "simd/lane_bits.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// One value per key for all lanes.
template <class T>
void add_uniform(const T* values, std::ptrdiff_t keys, int lanes, T* scores, T* maximum) {
  const auto minus_infinities = simd::broadcast(minus_infinity<T>);
  for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
    auto maxima = minus_infinities;
    T* score = scores + lane;
    for (std::ptrdiff_t key = 0; key < keys; ++key, score += lanes) {
      // a selection, not a sum: the score of a hidden key may be NaN
      const T value = values[key];
      const auto total = value == minus_infinity<T>
                             ? minus_infinities
                             : simd::add(simd::load(score), simd::broadcast(value));
      simd::store(score, total);
      maxima = simd::maximum(maxima, total);
    }
    if (maximum) {
      simd::store(maximum + lane, simd::maximum(simd::load(maximum + lane), maxima));
    }
  }
}

// The scores of one vector of lanes.
template <class T>
struct LaneScores {
  T* scores;
  std::ptrdiff_t stride;  // to the next key
  std::ptrdiff_t keys;
  simd::Packet<T> maxima;  // of the last pass

  void set(std::ptrdiff_t key, const simd::Packet<T>& score) {
    simd::store(scores + key * stride, score);
    maxima = simd::maximum(maxima, score);
  }
};

// hidden[word][lane]
template <class T>
void hide_masked(LaneScores<T>& lane, const simd::Bits<T>* hidden) {
  constexpr std::ptrdiff_t bits = simd::bits<T>;
  const auto minus_infinities = simd::broadcast(minus_infinity<T>);
  LaneScores<T> local = lane;  // a copy, which can stay in registers
  local.maxima = minus_infinities;
  for (std::ptrdiff_t key = lane.keys - 1; key >= 0;) {
    simd::LaneBits<T> word(hidden + key / bits * lane.stride, key % bits);
    const std::ptrdiff_t begin = key / bits * bits;
    for (; key >= begin; --key) {
      local.set(key, word.select(minus_infinities, simd::load(local.scores + key * local.stride)));
      word.step();
    }
  }
  lane.maxima = local.maxima;
}

// The keys of a square to be added: the others were added before, or are past the end.
struct SquareKeys {
  std::ptrdiff_t begin, end;
};

template <bool BiasHides, bool Whole, class T>
inline void add_transposed(LaneScores<T>& lane, std::ptrdiff_t key, const simd::Square<T>& square,
                           SquareKeys keys) {
  const auto minus_infinities = simd::broadcast(minus_infinity<T>);
  LaneScores<T> local = lane;
#pragma GCC unroll 16
  for (int i = 0; i < simd::lanes<T>; ++i) {
    if (!Whole && (i < keys.begin || i >= keys.end)) continue;
    auto total = simd::add(simd::load(local.scores + (key + i) * local.stride), square.packet[i]);
    // a selection, not a sum: the score of a hidden key may be NaN
    if (BiasHides)
      total =
          simd::select(simd::equal(square.packet[i], minus_infinities), minus_infinities, total);
    local.set(key + i, total);
  }
  lane.maxima = local.maxima;
}

// Adds the biases of W keys from `key`, `byte` bytes into each row. True if −∞ is among them.
template <class T, class From>
bool add_square(LaneScores<T>& lane, const char* const* rows, std::ptrdiff_t byte,
                std::ptrdiff_t key, SquareKeys keys) {
  constexpr int width = simd::lanes<T>;
  simd::Square<T> square;
  auto minima = simd::broadcast(T{0});  // never NaN
#pragma GCC unroll 16
  for (int i = 0; i < width; ++i) {
    square.packet[i] = simd::load(reinterpret_cast<const From*>(rows[i] + byte));
    minima = simd::minimum(minima, square.packet[i]);
  }
  simd::transpose<T>(square);
  // true for a NaN minimum too, which may conceal a −∞
  if (!(simd::min_lane(minima) > minus_infinity<T>)) {
    add_transposed<true, false>(lane, key, square, keys);
    return true;
  }
  if (keys.end - keys.begin == width) {
    add_transposed<false, true>(lane, key, square, keys);
  } else {
    add_transposed<false, false>(lane, key, square, keys);
  }
  return false;
}

// Adds copies of rows that cannot be read a vector at a time, or are in another unit.
template <class T>
bool add_copied(LaneScores<T>& lane, const TensorView& bias, const char* const* rows, double unit) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  constexpr std::ptrdiff_t chunk = 64, bytes = sizeof(T);
  alignas(64) T copy[width * chunk];
  bool any_hidden = false;
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
      any_hidden |= add_square<T, T>(lane, copies, key * bytes, first + key,
                                     {0, std::min(width, size - key)});
    }
  }
  return any_hidden;
}

// The number of keys before the first aligned vector: rows 4 KB apart share an L1 set, which would
// evict the remainder of a line before the next vector if vectors crossed lines. 0 if rows are not
// all misaligned by the same amount.
template <class T>
std::ptrdiff_t keys_before_alignment(const TensorView& bias, const char* row) {
  const std::ptrdiff_t size = element_size(bias.type), vector = simd::lanes<T> * size;
  const std::ptrdiff_t misalignment = static_cast<std::ptrdiff_t>(
      reinterpret_cast<std::uintptr_t>(row) % static_cast<std::uintptr_t>(vector));
  if (bias.row_stride % vector != 0 || bias.column_stride != size || misalignment == 0) return 0;
  return (vector - misalignment) / size;
}

// At least W keys.
template <class T, class From>
bool add_in_place(LaneScores<T>& lane, const TensorView& bias, const char* const* rows) {
  constexpr std::ptrdiff_t width = simd::lanes<T>, bytes = sizeof(From);
  bool any_hidden = false;
  std::ptrdiff_t key = keys_before_alignment<T>(bias, rows[0]);
  if (key > 0) any_hidden = add_square<T, From>(lane, rows, 0, 0, {0, key});
  while (key < lane.keys) {
    // the last square overlaps the one before
    const std::ptrdiff_t begin = std::min(key, lane.keys - width);
    any_hidden |= add_square<T, From>(lane, rows, begin * bytes, begin, {key - begin, width});
    key = begin + width;
  }
  return any_hidden;
}

// The biases of a key are adjacent across lanes: a view of a transposed array.
template <class T>
bool add_columns(LaneScores<T>& lane, const TensorView& bias, const char* column) {
  const auto minus_infinities = simd::broadcast(minus_infinity<T>);
  LaneScores<T> local = lane;
  auto minima = simd::broadcast(T{0});  // never NaN
  for (std::ptrdiff_t key = 0; key < local.keys; ++key, column += bias.column_stride) {
    const auto value = simd::load(reinterpret_cast<const T*>(column));
    const auto total = simd::add(simd::load(local.scores + key * local.stride), value);
    minima = simd::minimum(minima, value);
    local.set(key, simd::select(simd::equal(value, minus_infinities), minus_infinities, total));
  }
  lane.maxima = local.maxima;
  return !(simd::min_lane(minima) > minus_infinity<T>);
}

template <class T>
bool lanes_adjacent(const TensorView& bias, const char* const* rows) {
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
  if (lanes_adjacent<T>(bias, rows)) return add_columns(lane, bias, rows[0]);
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
    return tile.any_hidden;
  }
  bool any_hidden = tile.any_hidden;
  const double unit = score_unit<T>(problem);
  for (int lane = 0; lane < lanes; lane += width) {
    LaneScores<T> lane_scores{scores + lane, lanes, keys.size(),
                              simd::broadcast(minus_infinity<T>)};
    if (tile.bias) {
      const TensorView& bias = problem.bias;
      const char* rows[width];
      for (int i = 0; i < width; ++i) {
        rows[i] = bias.row(item, panel.head[lane + i], panel.query[lane + i]) +
                  keys.begin * bias.column_stride;
      }
      any_hidden |= add_rows(lane_scores, bias, rows, unit);
    }
    if (tile.hidden) hide_masked(lane_scores, tile.hidden + lane);
    if (maximum) {
      simd::store(maximum + lane, simd::maximum(simd::load(maximum + lane), lane_scores.maxima));
    }
  }
  return any_hidden;
}

template bool add_mask(const Problem&, std::ptrdiff_t, const Panel<float>&, const MaskTile<float>&,
                       float*, float*);
template bool add_mask(const Problem&, std::ptrdiff_t, const Panel<double>&,
                       const MaskTile<double>&, double*, double*);

}  // namespace heedful
