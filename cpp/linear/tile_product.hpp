// The output tile of one task of a dense product, C = A B or C += A B:
//
//   A (rows, depth)     a[row][k]      transposed: a[k][row]
//   B (depth, columns)  b[k][column]   transposed: b[column][k]
//   C (rows, columns)
//
// B is packed once per depth block into panels. Between depth blocks partial sums are stored in C:
// every element is the sum of the blocks' sums, in their order, however the product is split into
// tiles and depth slices, and in whichever order a tile is computed: panels_order.hpp or
// rows_order.hpp.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/work_area.hpp"
#include "linear/panels.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

// Maximum depth that is summed before it is added to C: a panel of it takes 72 KB (36 for double),
// or 24 where it has to stay in L1.
template <class T>
inline constexpr std::ptrdiff_t depth_block =
    (panels_first ? 1024 : 1536) / static_cast<std::ptrdiff_t>(sizeof(T));

// The blocks [first, last) of a product's depth. Their boundaries depend on the whole depth alone.
template <class T>
struct DepthBlocks {
  std::ptrdiff_t depth, count, first, last;

  static DepthBlocks all(std::ptrdiff_t depth) {
    const std::ptrdiff_t count =
        std::max<std::ptrdiff_t>((depth + depth_block<T> - 1) / depth_block<T>, 1);
    return {depth, count, 0, count};
  }
  // Relative to the beginning of the first one.
  std::ptrdiff_t begin(std::ptrdiff_t block) const {
    return depth * block / count - depth * first / count;
  }
  DepthBlocks slice(std::ptrdiff_t index, std::ptrdiff_t slices) const {
    return {depth, count, count * index / slices, count * (index + 1) / slices};
  }
};

// Number of columns whose panels of one depth block take at most 576 KB of L2 (288 for double).
template <class T>
inline constexpr std::ptrdiff_t strip_columns = 24 * simd::lanes<T>;

// Where panels stay in L1: they are read from L3, and A is packed once per strip.
template <class T>
inline constexpr std::ptrdiff_t wide_strip_columns = 8 * strip_columns<T>;

template <class T>
struct TileProduct {
  std::ptrdiff_t rows, columns, depth;
  DepthBlocks<T> slice;  // the depth slice; without blocks, all of the depth
  Matrix<const T> a, b;
  bool a_transposed, b_transposed;
  bool panels_packed;  // panels hold B from this column on, in the layout of pack_panels; b is
                       // unused
  std::ptrdiff_t panels_column;
  const T* panels;
  Matrix<T> c;
  bool c_padded;  // rows of C have room for full vectors
  bool accumulate;
  double* row_sums;  // (rows) or nullptr: += Σ_k A, where A is transposed
};

// Scratch of a task, whose rows and columns are at most those of `tile`.
template <class T>
struct TileScratch {
  std::size_t size;
  T* panels;  // of a depth block
  T* blocks;  // of a group of A's blocks
  T* edge;    // (rows, lanes of a panel): where C has no room for full vectors

  TileScratch(const TileProduct<T>& tile, std::byte* scratch) {
    WorkArea area(scratch);
    const std::ptrdiff_t depth = std::min(tile.depth, depth_block<T>);
    panels = area.take<T>(tile.panels_packed ? 0 : depth * padded<T>(tile.columns));
    blocks = area.take<T>(group_blocks * block_distance(depth + 16));
    edge = area.take<T>(group_blocks * packed_rows * max_vectors * simd::lanes<T>);
    size = area.size();
  }
};

// The first panel of a depth block, and the depth that the panels hold.
template <class T>
struct BlockPanels {
  const T* data;
  std::ptrdiff_t held, skipped;

  const T* at(std::ptrdiff_t column, std::ptrdiff_t lanes) const {
    return data + held * column + skipped * lanes;
  }
};

// Packs the panels of the block [begin, begin + depth), unless all were packed before.
template <class T>
BlockPanels<T> panels_of_block(const TileProduct<T>& tile, const TileScratch<T>& scratch,
                               std::ptrdiff_t begin, std::ptrdiff_t depth) {
  if (tile.panels_packed) return {tile.panels, tile.depth, begin};
  const T* const from = tile.b_transposed ? tile.b.data + begin : tile.b.row(begin);
  pack_panels<T>({from, tile.b.stride}, tile.b_transposed, {0, depth, depth}, tile.columns,
                 scratch.panels);
  return {scratch.panels, depth, 0};
}

// One of the depth blocks of a tile: [begin, begin + depth) of its slice.
template <class T>
struct DepthBlock {
  std::ptrdiff_t begin, depth;
  std::ptrdiff_t next_depth;  // of the block that follows; 0 after the last
  bool accumulate;            // its sums are added to C
  BlockPanels<T> panels;

  bool is_last() const { return next_depth == 0; }
};

// Calls work(block) for the depth blocks of the tile in their order.
template <class T, class Work>
void for_each_depth_block(const TileProduct<T>& tile, const TileScratch<T>& scratch,
                          const Work& work) {
  const DepthBlocks<T> blocks = tile.slice.count ? tile.slice : DepthBlocks<T>::all(tile.depth);
  for (std::ptrdiff_t index = blocks.first; index < blocks.last; ++index) {
    const std::ptrdiff_t begin = blocks.begin(index), end = blocks.begin(index + 1);
    work(DepthBlock<T>{begin, end - begin,
                       index + 1 < blocks.last ? blocks.begin(index + 2) - end : 0,
                       index > blocks.first || tile.accumulate,
                       panels_of_block(tile, scratch, begin, end - begin)});
  }
}

// Adds the first block's sums over its depth to the tile's row sums.
template <class T>
void add_row_sums(const TileProduct<T>& tile, const T* packed, std::ptrdiff_t depth,
                  std::ptrdiff_t row, std::ptrdiff_t rows) {
  T sums[packed_rows];
  sum_block(packed, depth, sums);
  for (std::ptrdiff_t i = 0; i < rows; ++i) tile.row_sums[row + i] += static_cast<double>(sums[i]);
}

// Calls multiply(product), where C has no room for full vectors with sums (rows, lanes) instead of
// C, of which the first `used` columns are C's.
template <class T, class Multiply>
void multiply_panel(const TileProduct<T>& tile, const Product<T>& product, std::ptrdiff_t used,
                    T* sums, const Multiply& multiply) {
  const std::ptrdiff_t lanes = product.vectors * simd::lanes<T>;
  if (tile.c_padded || used == lanes) return multiply(product);
  Product<T> whole = product;
  whole.c = sums;
  whole.c_row = lanes;
  whole.accumulate = false;
  multiply(whole);
  for (std::ptrdiff_t row = 0; row < product.rows; ++row) {
    T* const to = product.c + row * product.c_row;
    const T* const from = sums + row * lanes;
    for (std::ptrdiff_t i = 0; i < used; ++i)
      to[i] = product.accumulate ? to[i] + from[i] : from[i];
  }
}

}  // namespace heedful
