// Keys and values of a key tile as operands of products on tiles of bfloat16.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "arrays/rows.hpp"
#include "attention/backward/call.hpp"
#include "attention/backward/key_tile/bfloat16/tile_scratch.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/problem/problem.hpp"
#include "kernels/nonfinite.hpp"
#include "kernels/tile_kernel.hpp"
#include "kernels/tile_panels.hpp"
#include "simd/bfloat16_bits.hpp"

namespace heedful {

class TileKeys {
 public:
  TileKeys(const BackwardCall<float>& call, const BackwardTask& task, const TileScratch& scratch)
      : range(call.partition.key_tile(task.item, task.key_tile)),
        call_(call),
        task_(task),
        scratch_(scratch) {}

  const KeyRange range;                                      // of the item
  Rows<std::uint16_t> keys{nullptr, 0}, values{nullptr, 0};  // whole tiles of rows

  // On first use: a tile that no query sees is never read.
  void load() {
    if (keys.data) return;
    keys = load_rows(call_.tensors.key, scratch_.keys);
    values = load_rows(call_.tensors.value, scratch_.values);
    const std::ptrdiff_t depth = call_.problem.depth, stride = scratch_.tile;
    transpose_tile_rows(call_.tensors.key, task_.item, task_.kv_head, first_row(), range.size(),
                        depth, 0, scratch_.transposed, stride);
    std::fill(scratch_.transposed + depth * stride,
              scratch_.transposed + whole_tiles(depth) * stride, std::uint16_t{0});
  }
  // (D in whole tiles, tile): the keys from `key` of the tile.
  const std::uint16_t* transposed(std::ptrdiff_t key) const { return scratch_.transposed + key; }

  bool finite() {
    if (!checked_) {
      finite_ = all_finite(Rows<std::uint16_t>{scratch_.transposed, scratch_.tile},
                           call_.problem.depth, range.size(), 0x7F80);
      checked_ = true;
    }
    return finite_;
  }
  // Takes NaN and ∞ out of the transposed keys.
  void clean() {
    if (cleaned_ || finite()) return;
    for (std::ptrdiff_t column = 0; column < call_.problem.depth; ++column) {
      std::uint16_t* const row = scratch_.transposed + column * scratch_.tile;
      std::replace_if(
          row, row + range.size(), [](std::uint16_t bits) { return !simd::is_finite(bits); },
          std::uint16_t{0});
    }
    cleaned_ = true;
  }

  // Adds the products of what clean() took out, for keys visible to a lane, to dquery [d][lane].
  //   scores (keys of the tile, lanes)   query: the panel's first one in the batch
  void add_nonfinite(int lanes, std::ptrdiff_t query, KeyRange some, const float* scores,
                     float* dquery) {
    if (finite()) return;
    const TensorView& view = call_.tensors.key;
    for (std::ptrdiff_t key = some.begin; key < some.end; ++key) {
      const char* const row = view.row(task_.item, task_.kv_head, first_row() + key);
      for (std::ptrdiff_t column = 0; column < call_.problem.depth; ++column) {
        std::uint16_t bits;
        std::memcpy(&bits, row + column * view.column_stride, sizeof(bits));
        if (simd::is_finite(bits)) continue;
        for (int lane = 0; lane < lanes; ++lane) {
          if (scores[key * lanes + lane] == minus_infinity<float>) continue;
          const std::uint16_t coefficient = *scratch_.dkey.coefficients(key, query + lane);
          dquery[column * lanes + lane] += simd::float_of(coefficient) * simd::float_of(bits);
        }
      }
    }
  }

  // The row of a key of the tile in the caller's arrays.
  std::ptrdiff_t first_row() const {
    return call_.problem.items[task_.item].key_begin + range.begin;
  }
  static std::ptrdiff_t whole_tiles(std::ptrdiff_t rows) { return (rows + 15) / 16 * 16; }

 private:
  Rows<std::uint16_t> load_rows(const TensorView& view, std::uint16_t* buffer) const {
    const std::ptrdiff_t depth = call_.problem.depth, count = range.size();
    if (count % 16 == 0) {
      return load_tile_rows(view, task_.item, task_.kv_head, first_row(), count, depth, buffer);
    }
    copy_tile_rows(view, task_.item, task_.kv_head, first_row(), count, depth, whole_tiles(count),
                   buffer);
    return {buffer, tile_depth * tile_blocks(depth)};
  }

  const BackwardCall<float>& call_;
  const BackwardTask& task_;
  const TileScratch& scratch_;
  bool checked_ = false, finite_ = false;
  bool cleaned_ = false;  // the transposed keys have zeros in place of NaN and ∞
};

}  // namespace heedful
