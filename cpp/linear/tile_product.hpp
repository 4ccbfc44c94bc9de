// One tile of a dense product, C = A B or C += A B, as large as a task:
//
//   A (rows, depth)     a[row][k]      turned: a[k][row]
//   B (depth, columns)  b[k][column]   turned: b[column][k]
//   C (rows, columns)
//
// B is packed once a block of the depth into panels that stay in the second cache while all rows of
// A pass by; eight rows of A, as long as the block, stay in the first cache while all panels pass
// by. Between blocks of the depth C waits where it lies: every number is the sum of the blocks'
// sums, in their order, however the product is cut into tiles and slices of the depth.
#pragma once

#include <cstddef>

#include "arrays/prefetch.hpp"
#include "arrays/work_area.hpp"
#include "linear/panels.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

// Most that is summed before it is added to C: a panel of it takes 72 KB (36 for double).
template <class T>
inline constexpr std::ptrdiff_t depth_block = sizeof(T) == sizeof(float) ? 384 : 192;

// The blocks [first, last) of a product's depth. Where they end depends on the whole depth alone.
template <class T>
struct DepthBlocks {
  std::ptrdiff_t depth, count, first, last;

  static DepthBlocks all(std::ptrdiff_t depth) {
    const std::ptrdiff_t count =
        std::max<std::ptrdiff_t>((depth + depth_block<T> - 1) / depth_block<T>, 1);
    return {depth, count, 0, count};
  }
  // Counted from where the first one begins.
  std::ptrdiff_t begin(std::ptrdiff_t block) const {
    return depth * block / count - depth * first / count;
  }
  DepthBlocks slice(std::ptrdiff_t index, std::ptrdiff_t slices) const {
    return {depth, count, count * index / slices, count * (index + 1) / slices};
  }
};

// Columns whose panels of one block of the depth take 576 KB of the second cache at most (288 for
// double).
template <class T>
inline constexpr std::ptrdiff_t strip_columns = 24 * simd::lanes<T>;

template <class T>
struct TileProduct {
  std::ptrdiff_t rows, columns, depth;
  DepthBlocks<T> slice;  // of which the depth is a slice; without blocks it is the whole
  Matrix<const T> a, b;
  bool a_turned, b_turned;
  bool panels_made;  // panels hold B, from this column on, as pack_panels makes it, instead of b
  std::ptrdiff_t panels_column;
  const T* panels;
  Matrix<T> c;
  bool c_padded;  // rows of C have room for whole vectors
  bool accumulate;
  double* row_sums;  // (rows) or nullptr: += Σ_k A, where A is turned
};

// What a task may use: rows and columns at most those, the depth of the product.
template <class T>
struct TileAreas {
  std::size_t size;
  T* panels;  // of a block of the depth
  T* blocks;  // of a group of A's blocks
  T* edge;    // (block_rows, lanes of a panel): where C has no room for whole vectors

  TileAreas(const TileProduct<T>& tile, std::byte* scratch) {
    WorkArea area(scratch);
    const std::ptrdiff_t depth = std::min(tile.depth, depth_block<T>);
    panels = area.take<T>(tile.panels_made ? 0 : depth * padded<T>(tile.columns));
    blocks = area.take<T>(group_blocks * block_distance(depth + 16));
    edge = area.take<T>(block_rows * max_vectors * simd::lanes<T>);
    size = area.size();
  }
};

// Where the micro-kernel finds the block's rows, from k on: in place (also where they lie multiples
// of 4 KB apart and so compete for few places of the first cache: copies of them cost more), or
// where they are turned in a group of blocks, packed when its first one comes.
template <class T>
void place_rows(const TileProduct<T>& tile, const EvenRanges& rows, std::ptrdiff_t block,
                std::ptrdiff_t k, T* area, Product<T>& product) {
  const std::ptrdiff_t row = rows.begin(block);
  product.a_step = 1;
  if (tile.a_turned) {
    const std::ptrdiff_t place = block % group_blocks;
    if (place == 0) {
      pack_blocks<T>({tile.a.row(k), tile.a.stride}, rows, block,
                     std::min(block + group_blocks, rows.count), product.depth, area);
    }
    product.a = area + place * block_distance(product.depth);
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

// What the next block of rows will read, a part of it before each panel, so that it is there in
// time: A's rows where they are read in place, and C's where sums are added to them.
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
    if (!tile.a_turned) prefetch_row(tile.a.row(row) + k, product.depth * size);
    if (product.accumulate && !tile.c_padded) prefetch_row(tile.c.row(row), tile.columns * size);
  }
}

// C's columns of the panel, rows [0, rows), where C has no room for whole vectors.
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

// Calls done(first, count) when these rows of C are complete, while they are in the first cache.
template <class T, class Done>
void multiply_tile(const TileProduct<T>& tile, const TileAreas<T>& areas, Worker& worker,
                   const Done& done) {
  const Panels<T> cut(tile.columns);
  const EvenRanges rows = row_blocks(tile.rows);
  const DepthBlocks<T> parts = tile.slice.count ? tile.slice : DepthBlocks<T>::all(tile.depth);
  for (std::ptrdiff_t part = parts.first; part < parts.last; ++part) {
    const std::ptrdiff_t begin = parts.begin(part);
    const std::ptrdiff_t depth = parts.begin(part + 1) - begin;
    // panels made before hold the whole depth, those made here this part of it
    const std::ptrdiff_t held = tile.panels_made ? tile.depth : depth;
    const std::ptrdiff_t skipped = tile.panels_made ? begin : 0;
    const T* const panels = tile.panels_made ? tile.panels : areas.panels;
    if (!tile.panels_made) {
      const T* const from = tile.b_turned ? tile.b.data + begin : tile.b.row(begin);
      pack_panels<T>({from, tile.b.stride}, tile.b_turned, {0, depth, depth}, tile.columns,
                     areas.panels);
    }
    Product<T> product{};
    product.depth = depth;
    product.c_row = tile.c.stride;
    product.accumulate = part > parts.first || tile.accumulate;
    for (std::ptrdiff_t block = 0; block < rows.count; ++block) {
      if (block % group_blocks == 0) worker.check();
      const std::ptrdiff_t row = rows.begin(block);
      product.rows = rows.begin(block + 1) - row;
      place_rows(tile, rows, block, begin, areas.blocks, product);
      for (std::ptrdiff_t panel = 0; panel < cut.count; ++panel) {
        const std::ptrdiff_t lanes = cut.lanes(panel);
        prefetch_next(tile, rows, block, begin, product, panel, cut.count);
        product.vectors = static_cast<int>(lanes / simd::lanes<T>);
        product.b = panels + held * cut.begin(panel) + skipped * lanes;
        product.b_step = lanes;
        product.c = tile.c.row(row) + cut.begin(panel);
        if (tile.c_padded || cut.used(panel) == lanes) {
          multiply(product);
        } else {
          add_edge(product, cut.used(panel), areas.edge);
        }
      }
      if (part == parts.last - 1) done(row, product.rows);
    }
  }
}

}  // namespace heedful
