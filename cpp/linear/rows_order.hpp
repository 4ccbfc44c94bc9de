// A tile of a dense product, row by row: eight rows of A, as long as a depth block, stay in L1
// while all panels are multiplied, which stay in L2.
#pragma once

#include <cstddef>

#include "arrays/prefetch.hpp"
#include "linear/tile_product.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

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
      pack_blocks<T>({tile.a.row(k), tile.a.stride}, true, rows, block,
                     std::min(block + group_blocks, rows.count), product.depth, packed);
    }
    product.a = packed + in_group * block_distance(product.depth);
    product.a_row = 1;
    product.a_step = packed_rows;
    if (tile.row_sums) add_row_sums(tile, product.a, product.depth, row, product.rows);
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

// Calls done(row, rows, column, columns) when this part of C is complete, while it is in L1.
template <class T, class Done>
void multiply_by_rows(const TileProduct<T>& tile, const TileScratch<T>& scratch, Worker& worker,
                      const Done& done) {
  const Panels<T> layout(tile.columns);
  const EvenRanges rows = row_blocks(tile.rows, tile.a_transposed ? packed_rows : block_rows);
  for_each_depth_block(tile, scratch, [&](const DepthBlock<T>& depth_block) {
    Product<T> product{};
    product.depth = depth_block.depth;
    product.c_row = tile.c.stride;
    product.accumulate = depth_block.accumulate;
    for (std::ptrdiff_t block = 0; block < rows.count; ++block) {
      if (block % group_blocks == 0) worker.check();
      const std::ptrdiff_t row = rows.begin(block);
      product.rows = rows.length(block);
      set_a_rows(tile, rows, block, depth_block.begin, scratch.blocks, product);
      for (std::ptrdiff_t panel = 0; panel < layout.count; ++panel) {
        const std::ptrdiff_t lanes = layout.lanes(panel);
        prefetch_next(tile, rows, block, depth_block.begin, product, panel, layout.count);
        product.vectors = static_cast<int>(lanes / simd::lanes<T>);
        product.b = depth_block.panels.at(layout.begin(panel), lanes);
        product.b_step = lanes;
        product.c = tile.c.row(row) + layout.begin(panel);
        multiply_panel(tile, product, layout.used(panel), scratch.edge,
                       [](const Product<T>& part) { multiply(part); });
      }
      if (depth_block.is_last()) done(row, product.rows, std::ptrdiff_t{0}, tile.columns);
    }
  });
}

}  // namespace heedful
