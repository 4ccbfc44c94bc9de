#include "attention/mask.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>

#include "attention/pack.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// keys turned at a time, so that the rows to turn stay in the first cache
constexpr std::ptrdiff_t chunk = 64;

// values[key] = bias, −∞ where the mask is false.
template <class T>
void read_values(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
                 std::ptrdiff_t query, KeyRange keys, T* values) {
  const std::ptrdiff_t count = keys.size();
  if (problem.bias) {
    const TensorView& bias = problem.bias;
    read_row(bias.row(item, head, query) + keys.begin * bias.column_stride, bias.type,
             bias.column_stride, values, count);
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

}  // namespace

template <class T>
std::ptrdiff_t mask_tile_size(std::ptrdiff_t keys) {
  return keys * Panel<T>::max_lanes + chunk * simd::lanes<T>;
}

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
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  const T hidden = -std::numeric_limits<T>::infinity();
  MaskTile<T> tile;
  tile.keys = keys;
  if (!problem.mask && !problem.bias) return tile;

  if (same_for_all(problem.mask, panel) && same_for_all(problem.bias, panel)) {
    tile.uniform = true;
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

  // [lane of one vector][key of the chunk]
  T* const rows = buffer + keys.size() * Panel<T>::max_lanes;
  Extremes<T> found;
  const std::ptrdiff_t lanes = panel.lanes();
  for (std::ptrdiff_t lane = 0; lane < lanes; lane += width) {
    for (std::ptrdiff_t begin = 0; begin < keys.size(); begin += chunk) {
      const std::ptrdiff_t size = std::min(chunk, keys.size() - begin);
      const T* turned[width];
      for (std::ptrdiff_t i = 0; i < width; ++i) {
        T* const row = rows + i * chunk;
        const KeyRange part{keys.begin + begin, keys.begin + begin + size};
        read_values(problem, item, panel.head[lane + i], panel.query[lane + i], part, row);
        if (lane + i < panel.count) look(row, size, found);
        turned[i] = row;
      }
      // one vector of lanes of a panel whose rows are `lanes` apart
      for (std::ptrdiff_t key = 0; key < size; key += width) {
        simd::Square<T> square;
#pragma GCC unroll 16
        for (std::ptrdiff_t i = 0; i < width; ++i) square.packet[i] = simd::load(turned[i] + key);
        simd::transpose<T>(square);
        for (std::ptrdiff_t i = 0; i < std::min(width, size - key); ++i) {
          simd::store(buffer + (begin + key + i) * lanes + lane, square.packet[i]);
        }
      }
    }
  }
  tile.hides = found.hides;
  if (!found.shows) tile.keys.end = tile.keys.begin;
  if (found.hides || problem.bias) tile.values = buffer;
  return tile;
}

template std::ptrdiff_t mask_tile_size<float>(std::ptrdiff_t);
template std::ptrdiff_t mask_tile_size<double>(std::ptrdiff_t);
template bool mask_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                       float*, bool&);
template bool mask_row(const Problem&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t, KeyRange,
                       double*, bool&);
template MaskTile<float> mask_tile(const Problem&, std::ptrdiff_t, const Panel<float>&, KeyRange,
                                   float*);
template MaskTile<double> mask_tile(const Problem&, std::ptrdiff_t, const Panel<double>&, KeyRange,
                                    double*);

}  // namespace heedful
