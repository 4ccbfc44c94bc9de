#include "attention/scores/mask.hpp"

#include <algorithm>
#include <cstdint>

#include "arrays/prefetch.hpp"
#include "arrays/rows.hpp"
#include "attention/problem/block_rows.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/problem/score_unit.hpp"
#include "attention/scores/bias_row.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// Calls visit(keys, kind, pattern, first) for the part of each block in a range of keys of one
// query; of a pattern, the row of bits that begins `first` bits before the keys, or null.
template <class Visit>
void for_blocks(const BlockMask& mask, const std::int32_t* row, std::ptrdiff_t query, KeyRange keys,
                const Visit& visit) {
  for (std::ptrdiff_t key = keys.begin; key < keys.end;) {
    const std::ptrdiff_t block = key / mask.block_keys, first = block * mask.block_keys;
    const std::ptrdiff_t end = std::min(first + mask.block_keys, keys.end);
    const std::int32_t kind = row[block];
    visit(KeyRange{key, end}, kind,
          kind < block_kind::pattern ? nullptr : mask.pattern_row(kind, query), key - first);
    key = end;
  }
}

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
    const char* visible = problem.mask.row(item, head, query) + keys.begin * stride;
    if (stride == 1) {
      for (std::ptrdiff_t i = 0; i < count; ++i)
        values[i] = visible[i] ? values[i] : minus_infinity<T>;
    } else {
      for (std::ptrdiff_t i = 0; i < count; ++i)
        values[i] = visible[i * stride] ? values[i] : minus_infinity<T>;
    }
  }
}

// values[key] = −∞ where the block mask hides the key.
template <class T>
void hide_blocks(const BlockMask& mask, const std::int32_t* row, std::ptrdiff_t query,
                 KeyRange keys, T* values) {
  for_blocks(
      mask, row, query, keys,
      [&](KeyRange here, std::int32_t kind, const unsigned char* pattern, std::ptrdiff_t first) {
        T* const to = values + (here.begin - keys.begin);
        if (kind == block_kind::empty) std::fill_n(to, here.size(), minus_infinity<T>);
        if (kind < block_kind::pattern) return;
        for (std::ptrdiff_t i = 0; i < here.size(); i += simd::bits<T>) {
          const auto count = std::min<std::ptrdiff_t>(here.size() - i, simd::bits<T>);
          const simd::Bits<T> visible = simd::bits_at<T>(pattern, first + i, count);
          for (std::ptrdiff_t bit = 0; bit < count; ++bit) {
            to[i + bit] = visible >> bit & 1 ? to[i + bit] : minus_infinity<T>;
          }
        }
      });
}

// Bit i is set if key keys.begin + i is hidden by the block mask; at most bits<T> keys.
template <class T>
simd::Bits<T> hidden_bits_of(const BlockMask& mask, const std::int32_t* row, std::ptrdiff_t query,
                             KeyRange keys) {
  simd::Bits<T> word = 0;
  for_blocks(
      mask, row, query, keys,
      [&](KeyRange here, std::int32_t kind, const unsigned char* pattern, std::ptrdiff_t first) {
        if (kind == block_kind::full) return;
        simd::Bits<T> hidden = ~simd::Bits<T>{0} >> (simd::bits<T> - here.size());
        if (pattern) hidden &= ~simd::bits_at<T>(pattern, first, here.size());
        word |= hidden << (here.begin - keys.begin);
      });
  return word;
}

template <class T>
struct Visibility {
  bool any_hidden = false;   // some element is −∞
  bool any_visible = false;  // some element is not
};

template <class T>
void classify(const T* values, std::ptrdiff_t count, Visibility<T>& found) {
  std::ptrdiff_t hidden_keys = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i) hidden_keys += values[i] == minus_infinity<T>;
  found.any_hidden |= hidden_keys > 0;
  found.any_visible |= hidden_keys < count;
}

// Whether the view has the same row for every lane of the panel.
template <class T>
bool same_for_all_lanes(const TensorView& view, const Panel<T>& panel) {
  return !view ||
         ((view.row_stride == 0 || panel.count == 1) && (view.head_stride == 0 || panel.one_head));
}

// Writes hidden[key / bits][lane] of mask and block mask. False if every key is hidden.
template <class T>
bool read_mask_bits(const TensorView& mask, const BlockMask& block_mask, std::ptrdiff_t item,
                    const Panel<T>& panel, KeyRange keys, simd::Bits<T>* hidden, bool& any_hidden) {
  constexpr std::ptrdiff_t bits = simd::bits<T>;
  const std::ptrdiff_t stride = mask.column_stride;
  const int lanes = panel.lanes();
  simd::Bits<T> hidden_bits = 0, visible_bits = 0;
  for (int lane = 0; lane < lanes; ++lane) {
    const char* const visible =
        mask ? mask.row(item, panel.head[lane], panel.query[lane]) + keys.begin * stride : nullptr;
    simd::Bits<T>* to = hidden + lane;
    for (std::ptrdiff_t key = 0; key < keys.size(); key += bits) {
      const std::ptrdiff_t count = std::min(bits, keys.size() - key);
      simd::Bits<T> word = visible ? simd::zeros<T>(visible + key * stride, stride, count) : 0;
      if (block_mask) {
        const std::ptrdiff_t first = keys.begin + key;
        word |= hidden_bits_of<T>(block_mask, panel.blocks[lane], panel.query[lane],
                                  {first, first + count});
      }
      hidden_bits |= word;
      visible_bits |= ~word << (bits - count);
      *to = word;
      to += lanes;
    }
  }
  any_hidden = hidden_bits != 0;
  return visible_bits != 0;
}

// Prefetches the rows of bias while scores are computed.
template <class T>
void prefetch(const TensorView& bias, std::ptrdiff_t item, const Panel<T>& panel, KeyRange keys) {
  if (bias.column_stride != element_size(bias.type)) return;
  for (int lane = 0; lane < panel.count; ++lane) {
    prefetch_row(
        bias.row(item, panel.head[lane], panel.query[lane]) + keys.begin * bias.column_stride,
        keys.size() * bias.column_stride);
  }
}

// Whether any lane sees any key; usually the first one does.
template <class T>
bool any_key_visible(const TensorView& bias, std::ptrdiff_t item, const Panel<T>& panel,
                     KeyRange keys, const simd::Bits<T>* hidden) {
  constexpr std::ptrdiff_t bits = simd::bits<T>;
  for (int lane = 0; lane < panel.count; ++lane) {
    const char* const row = bias.row(item, panel.head[lane], panel.query[lane]);
    for (std::ptrdiff_t key = 0; key < keys.size(); key += bits) {
      const std::ptrdiff_t count = std::min(bits, keys.size() - key);
      T values[bits];
      read_bias(bias, row + (keys.begin + key) * bias.column_stride, 1, values, count);
      const simd::Bits<T> word = hidden ? hidden[key / bits * panel.lanes() + lane] : 0;
      for (std::ptrdiff_t i = 0; i < count; ++i) {
        if (values[i] != minus_infinity<T> && (word >> i & 1) == 0) return true;
      }
    }
  }
  return false;
}

}  // namespace

template <class T>
bool mask_row(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head,
              std::ptrdiff_t query, KeyRange keys, T* values, bool& any_hidden) {
  Visibility<T> found;
  read_values(problem, item, head, query, keys, values);
  if (problem.block_mask) {
    hide_blocks(problem.block_mask, problem.block_mask.row(item, head, query), query, keys, values);
  }
  classify(values, keys.size(), found);
  any_hidden = found.any_hidden;
  return found.any_visible;
}

template <class T>
MaskTile<T> mask_tile(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                      KeyRange keys, T* buffer) {
  MaskTile<T> tile;
  tile.keys = keys;
  if (!problem.has_masks()) return tile;

  bool partial = false;  // some block is not full
  if (problem.block_mask) {
    keys = tile.keys = BlockRows(problem, panel).trimmed(keys, partial);
    if (keys.empty() || !(partial || problem.mask || problem.bias)) return tile;
  }
  if (!partial && same_for_all_lanes(problem.mask, panel) &&
      same_for_all_lanes(problem.bias, panel)) {
    read_values(problem, item, panel.head[0], panel.query[0], keys, buffer);
    const T* first = buffer;
    while (!tile.keys.empty() && *first == minus_infinity<T>) ++first, ++tile.keys.begin;
    while (!tile.keys.empty() && first[tile.keys.size() - 1] == minus_infinity<T>) --tile.keys.end;
    Visibility<T> found;
    classify(first, tile.keys.size(), found);
    tile.any_hidden = found.any_hidden;
    if (found.any_hidden || problem.bias) tile.values = first;
    return tile;
  }

  tile.bias = static_cast<bool>(problem.bias);
  bool any_visible = true;
  if (problem.mask || partial) {
    auto* const bits = reinterpret_cast<simd::Bits<T>*>(buffer);
    any_visible = read_mask_bits(problem.mask, partial ? problem.block_mask : BlockMask{}, item,
                                 panel, keys, bits, tile.any_hidden);
    if (tile.any_hidden) tile.hidden = bits;
  }
  if (any_visible && problem.bias)
    any_visible = any_key_visible(problem.bias, item, panel, keys, tile.hidden);
  if (!any_visible) {
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
