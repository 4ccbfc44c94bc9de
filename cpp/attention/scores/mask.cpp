#include "attention/scores/mask.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "arrays/prefetch.hpp"
#include "arrays/rows.hpp"
#include "attention/problem/score_unit.hpp"
#include "attention/scores/bias_row.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// values[key] = bias, −∞ where the mask is false.
template <class T>
void read_values(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                 std::ptrdiff_t query, KeyRange keys, T* values) {
  const std::ptrdiff_t count = keys.size();
  if (problem.bias) {
    const TensorView& bias = problem.bias;
    read_bias(bias, bias.row(item, head, query) + keys.begin * bias.column_stride,
              score_unit<T>(problem), values, count);
  } else {
    std::fill(values, values + count, T{0});
  }
  if (problem.mask) {
    const std::ptrdiff_t stride = problem.mask.column_stride;
    const char* seen = problem.mask.row(item, head, query) + keys.begin * stride;
    const T hidden = -std::numeric_limits<T>::infinity();
    if (stride == 1) {
      for (std::ptrdiff_t i = 0; i < count; ++i) values[i] = seen[i] ? values[i] : hidden;
    } else {
      for (std::ptrdiff_t i = 0; i < count; ++i) values[i] = seen[i * stride] ? values[i] : hidden;
    }
  }
}

template <class T>
struct Extremes {
  bool hides = false;  // some −∞
  bool shows = false;  // some number that is not
};

template <class T>
void look(const T* values, std::ptrdiff_t count, Extremes<T>& found) {
  const T hidden = -std::numeric_limits<T>::infinity();
  std::ptrdiff_t number = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i) number += values[i] == hidden;
  found.hides |= number > 0;
  found.shows |= number < count;
}

// The view gives the same row to every lane of the panel.
template <class T>
bool same_for_all(const TensorView& view, const Panel<T>& panel) {
  return !view ||
         ((view.row_stride == 0 || panel.count == 1) && (view.head_stride == 0 || panel.one_head));
}

// hidden[key / bits][lane] of the mask. False when every key is hidden.
template <class T>
bool read_bits(const TensorView& mask, std::ptrdiff_t item, const Panel<T>& panel, KeyRange keys,
               simd::Bits<T>* hidden, bool& hides) {
  constexpr std::ptrdiff_t bits = simd::bits<T>;
  const std::ptrdiff_t stride = mask.column_stride;
  const int lanes = panel.lanes();
  simd::Bits<T> some_hidden = 0, some_seen = 0;
  for (int lane = 0; lane < lanes; ++lane) {
    const char* seen = mask.row(item, panel.head[lane], panel.query[lane]) + keys.begin * stride;
    simd::Bits<T>* to = hidden + lane;
    for (std::ptrdiff_t key = 0; key < keys.size(); key += bits) {
      const std::ptrdiff_t count = std::min(bits, keys.size() - key);
      const simd::Bits<T> word = simd::zeros<T>(seen + key * stride, stride, count);
      some_hidden |= word;
      some_seen |= ~word << (bits - count);
      *to = word;
      to += lanes;
    }
  }
  hides = some_hidden != 0;
  return some_seen != 0;
}

// The rows of bias, while scores are computed.
template <class T>
void prefetch(const TensorView& bias, std::ptrdiff_t item, const Panel<T>& panel, KeyRange keys) {
  if (bias.column_stride != element_size(bias.type)) return;
  for (int lane = 0; lane < panel.count; ++lane) {
    prefetch_row(
        bias.row(item, panel.head[lane], panel.query[lane]) + keys.begin * bias.column_stride,
        keys.size() * bias.column_stride);
  }
}

// Some lane sees some key: mostly the first one does.
template <class T>
bool shows_some(const TensorView& bias, std::ptrdiff_t item, const Panel<T>& panel, KeyRange keys,
                const simd::Bits<T>* hidden) {
  constexpr std::ptrdiff_t bits = simd::bits<T>;
  for (int lane = 0; lane < panel.count; ++lane) {
    const char* const row = bias.row(item, panel.head[lane], panel.query[lane]);
    for (std::ptrdiff_t key = 0; key < keys.size(); key += bits) {
      const std::ptrdiff_t count = std::min(bits, keys.size() - key);
      T values[bits];
      read_bias(bias, row + (keys.begin + key) * bias.column_stride, 1, values, count);
      const simd::Bits<T> word = hidden ? hidden[key / bits * panel.lanes() + lane] : 0;
      for (std::ptrdiff_t i = 0; i < count; ++i) {
        if (values[i] != -std::numeric_limits<T>::infinity() && (word >> i & 1) == 0) return true;
      }
    }
  }
  return false;
}

}  // namespace

template <class T>
bool mask_row(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
              std::ptrdiff_t query, KeyRange keys, T* values, bool& hides) {
  Extremes<T> found;
  read_values(problem, item, head, query, keys, values);
  look(values, keys.size(), found);
  hides = found.hides;
  return found.shows;
}

template <class T>
MaskTile<T> mask_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                      KeyRange keys, T* buffer) {
  MaskTile<T> tile;
  tile.keys = keys;
  if (!problem.mask && !problem.bias) return tile;

  if (same_for_all(problem.mask, panel) && same_for_all(problem.bias, panel)) {
    const T hidden = -std::numeric_limits<T>::infinity();
    read_values(problem, item, panel.head[0], panel.query[0], keys, buffer);
    const T* first = buffer;
    while (!tile.keys.empty() && *first == hidden) ++first, ++tile.keys.begin;
    while (!tile.keys.empty() && first[tile.keys.size() - 1] == hidden) --tile.keys.end;
    Extremes<T> found;
    look(first, tile.keys.size(), found);
    tile.hides = found.hides;
    if (found.hides || problem.bias) tile.values = first;
    return tile;
  }

  tile.bias = static_cast<bool>(problem.bias);
  bool shows = true;
  if (problem.mask) {
    auto* const bits = reinterpret_cast<simd::Bits<T>*>(buffer);
    shows = read_bits(problem.mask, item, panel, keys, bits, tile.hides);
    if (tile.hides) tile.hidden = bits;
  }
  if (shows && problem.bias) shows = shows_some(problem.bias, item, panel, keys, tile.hidden);
  if (!shows) {
    tile.keys.end = tile.keys.begin;
  } else if (problem.bias) {
    prefetch(problem.bias, item, panel, keys);
  }
  return tile;
}

template bool mask_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                       float*, bool&);
template bool mask_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                       double*, bool&);
template MaskTile<float> mask_tile(const Problem&, std::ptrdiff_t, const Panel<float>&, KeyRange,
                                   float*);
template MaskTile<double> mask_tile(const Problem&, std::ptrdiff_t, const Panel<double>&, KeyRange,
                                    double*);

}  // namespace heedful
