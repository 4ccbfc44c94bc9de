// The output tile of one task of a dense product, C = A B or C += A B:
//
//   A (rows, depth)     a[row][k]      transposed: a[k][row]
//   B (depth, columns)  b[k][column]   transposed: b[column][k]
//   C (rows, columns)
//
// B is packed once per depth block into panels that stay in L2 while all rows of A are multiplied;
// eight rows of A, as long as the block, stay in L1 while all panels are multiplied. Between depth
// blocks partial sums are stored in C: every element is the sum of the blocks' sums, in their
// order, however the product is split into tiles and depth slices.
#pragma once

#include <cstddef>

#include "arrays/prefetch.hpp"
#include "arrays/work_area.hpp"
#include "linear/panels.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

// Maximum depth that is summed before it is added to C: a panel of it takes 72 KB (36 for double).
template <class T>
inline constexpr std::ptrdiff_t depth_block = sizeof(T) == sizeof(float) ? 384 : 192;

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
  T* edge;    // (block_rows, lanes of a panel): where C has no room for full vectors

  TileScratch(const TileProduct<T>& tile, std::byte* scratch) {
    WorkArea area(scratch);
    const std::ptrdiff_t depth = std::min(tile.depth, depth_block<T>);
    panels = area.take<T>(tile.panels_packed ? 0 : depth * padded<T>(tile.columns));
    blocks = area.take<T>(group_blocks * block_distance(depth + 16));
    edge = area.take<T>(block_rows * max_vectors * simd::lanes<T>);
    size = area.size();
  }
};

// Sets the product's A to the block's rows, from k on: in place (also where rows are multiples of
// 4 KB apart and so compete for few L1 sets: copying them costs more), or, where A is transposed,
// in a group of blocks that is packed at its first block.
template <class T>
void set_a_rows(const TileProduct<T>& tile, const EvenRanges& rows, std::ptrdiff_t block,
                std::ptrdiff_t k, T* packed, Product<T>& product) {
  const std::ptrdiff_t row = rows.begin(block);
  product.a_step = 1;
  if (tile.a_transposed) {
    const std::ptrdiff_t in_group = block % group_blocks;
    if (in_group == 0) {
      pack_blocks<T>({tile.a.row(k), tile.a.stride}, rows, block,
                     std::min(block + group_blocks, rows.count), product.depth, packed);
    }
    product.a = packed + in_group * block_distance(product.depth);
    product.a_row = 1;
    product.a_step = block_rows;
    if (tile.row_sums) {
      T sums[block_rows];
      sum_block(product.a, product.depth, sums);
      for (std::ptrdiff_t i = 0; i < product.rows; ++i)
        tile.row_sums[row + i] += static_cast<double>(sums[i]);
    }
  } else {
    product.a = tile.a.row(row) + k;
    product.a_row = tile.a.stride;
  }
}

// Prefetches the memory that the next block of rows will read, a part of it before each panel: rows
// of A where they are read in place, and rows of C where sums are added to them.
template <class T>
void prefetch_next(const TileProduct<T>& tile, const EvenRanges& rows, std::ptrdiff_t block,
                   std::ptrdiff_t k, const Product<T>& product, std::ptrdiff_t panel,
                   std::ptrdiff_t panels) {
  constexpr std::ptrdiff_t size = sizeof(T);
  if (block + 1 >= rows.count) return;
  const std::ptrdiff_t begin = rows.begin(block + 1);
  const EvenRanges parts{rows.length(block + 1), panels};
  for (std::ptrdiff_t row = begin + parts.begin(panel); row < begin + parts.begin(panel + 1);
       ++row) {
    if (!tile.a_transposed) prefetch_row(tile.a.row(row) + k, product.depth * size);
    if (product.accumulate && !tile.c_padded) prefetch_row(tile.c.row(row), tile.columns * size);
  }
}

// C's columns of the panel, rows [0, rows), where C has no room for full vectors.
template <class T>
void add_edge(const Product<T>& product, std::ptrdiff_t used, T* edge) {
  Product<T> whole = product;
  whole.c = edge;
  whole.c_row = product.vectors * simd::lanes<T>;
  whole.accumulate = false;
  multiply(whole);
  for (std::ptrdiff_t row = 0; row < product.rows; ++row) {
    T* const to = product.c + row * product.c_row;
    const T* const from = edge + row * whole.c_row;
    for (std::ptrdiff_t i = 0; i < used; ++i)
      to[i] = product.accumulate ? to[i] + from[i] : from[i];
  }
}

// Calls done(first, count) when these rows of C are complete, while they are in L1.
template <class T, class Done>
void multiply_tile(const TileProduct<T>& tile, const TileScratch<T>& scratch, Worker& worker,
                   const Done& done) {
  const Panels<T> layout(tile.columns);
  const EvenRanges rows = row_blocks(tile.rows);
  const DepthBlocks<T> depth_blocks =
      tile.slice.count ? tile.slice : DepthBlocks<T>::all(tile.depth);
  for (std::ptrdiff_t depth_index = depth_blocks.first; depth_index < depth_blocks.last;
       ++depth_index) {
    const std::ptrdiff_t begin = depth_blocks.begin(depth_index);
    const std::ptrdiff_t depth = depth_blocks.begin(depth_index + 1) - begin;
    // panels packed before hold the whole depth, those packed here one block of it
    const std::ptrdiff_t held = tile.panels_packed ? tile.depth : depth;
    const std::ptrdiff_t skipped = tile.panels_packed ? begin : 0;
    const T* const panels = tile.panels_packed ? tile.panels : scratch.panels;
    if (!tile.panels_packed) {
      const T* const from = tile.b_transposed ? tile.b.data + begin : tile.b.row(begin);
      pack_panels<T>({from, tile.b.stride}, tile.b_transposed, {0, depth, depth}, tile.columns,
                     scratch.panels);
    }
    Product<T> product{};
    product.depth = depth;
    product.c_row = tile.c.stride;
    product.accumulate = depth_index > depth_blocks.first || tile.accumulate;
    for (std::ptrdiff_t block = 0; block < rows.count; ++block) {
      if (block % group_blocks == 0) worker.check();
      const std::ptrdiff_t row = rows.begin(block);
      product.rows = rows.begin(block + 1) - row;
      set_a_rows(tile, rows, block, begin, scratch.blocks, product);
      for (std::ptrdiff_t panel = 0; panel < layout.count; ++panel) {
        const std::ptrdiff_t lanes = layout.lanes(panel);
        prefetch_next(tile, rows, block, begin, product, panel, layout.count);
        product.vectors = static_cast<int>(lanes / simd::lanes<T>);
        product.b = panels + held * layout.begin(panel) + skipped * lanes;
        product.b_step = lanes;
        product.c = tile.c.row(row) + layout.begin(panel);
        if (tile.c_padded || layout.used(panel) == lanes) {
          multiply(product);
        } else {
          add_edge(product, layout.used(panel), scratch.edge);
        }
      }
      if (depth_index == depth_blocks.last - 1) done(row, product.rows);
    }
  }
}

}  // namespace heedful
