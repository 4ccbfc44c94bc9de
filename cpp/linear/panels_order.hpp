// A tile of a dense product, panel by panel (Goto and van de Geijn, "Anatomy of High-Performance
// Matrix Multiplication", 2008): a panel of B stays in L1 while all rows of A are multiplied, whose
// packed blocks, as deep as the panel, stay in L2. The next panel comes from L3 meanwhile.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/prefetch.hpp"
#include "kernels/micro_kernel.hpp"
#include "linear/tile_product.hpp"
#include "parallel/parallel_for.hpp"

namespace heedful {

// Rows of a tile: A's packed blocks are one group.
inline constexpr std::ptrdiff_t max_packed_rows = group_blocks * packed_rows;

// Whether the tile is computed in this order. Packing A, where it is not transposed, takes as long
// as multiplying it by up to 16 columns.
template <class T>
bool is_panels_first(const TileProduct<T>& tile) {
  if (!panels_first || tile.rows > max_packed_rows) return false;
  return tile.a_transposed || (!tile.c_padded && tile.columns >= 32 * simd::lanes<T>);
}

// Packs the block [begin, begin + depth) of A, and adds up its rows.
template <class T>
void pack_a(const TileProduct<T>& tile, const EvenRanges& rows, std::ptrdiff_t begin,
            std::ptrdiff_t depth, T* packed) {
  const T* const from = tile.a_transposed ? tile.a.row(begin) : tile.a.data + begin;
  pack_blocks<T>({from, tile.a.stride}, tile.a_transposed, rows, 0, rows.count, depth, packed);
  for (std::ptrdiff_t block = 0; tile.row_sums && block < rows.count; ++block) {
    add_row_sums(tile, packed + block * block_distance(depth), depth, rows.begin(block),
                 rows.length(block));
  }
}

// Prefetches what pack_a reads for the block [begin, begin + depth), a row at a time.
template <class T>
RowPrefetch prefetch_of_a(const TileProduct<T>& tile, std::ptrdiff_t begin, std::ptrdiff_t depth) {
  constexpr std::ptrdiff_t size = sizeof(T);
  const T* const from = tile.a_transposed ? tile.a.row(begin) : tile.a.data + begin;
  RowPrefetch prefetch;
  prefetch.add({reinterpret_cast<const char*>(from), tile.a.stride * size,
                tile.a_transposed ? depth : tile.rows,
                (tile.a_transposed ? tile.rows : depth) * size});
  return prefetch;
}

// Calls done(row, rows, column, columns) when this part of C is complete, while it is in L2.
template <class T, class Done>
void multiply_by_panels(const TileProduct<T>& tile, const TileScratch<T>& scratch, Worker& worker,
                        const Done& done) {
  // the last ones, during which the next block of A is prefetched: not too early
  constexpr std::ptrdiff_t prefetching_panels = 6, done_panels = 8;
  const Panels<T> layout(tile.columns);
  const EvenRanges rows = row_blocks(tile.rows, packed_rows);
  for_each_depth_block(tile, scratch, [&](const DepthBlock<T>& block) {
    const std::ptrdiff_t distance = block_distance(block.depth);
    pack_a(tile, rows, block.begin, block.depth, scratch.blocks);
    Product<T> product{};
    product.rows = tile.rows;
    product.depth = block.depth;
    product.a = scratch.blocks;
    product.a_row = 1;
    product.a_step = packed_rows;
    product.accumulate = block.accumulate;
    RowPrefetch next_a;
    if (!block.is_last()) {
      next_a = prefetch_of_a(tile, block.begin + block.depth, block.next_depth);
    }
    std::ptrdiff_t complete = 0;  // columns
    for (std::ptrdiff_t panel = 0; panel < layout.count; ++panel) {
      worker.check();
      const std::ptrdiff_t column = layout.begin(panel), lanes = layout.lanes(panel);
      const std::ptrdiff_t next = std::min(panel + 1, layout.count - 1);
      if (panel + prefetching_panels >= layout.count) product.prefetch = &next_a;
      product.vectors = static_cast<int>(lanes / simd::lanes<T>);
      product.b = block.panels.at(column, lanes);
      product.b_step = lanes;
      product.c = tile.c.data + column;
      product.c_row = tile.c.stride;
      // panels of this tile alone have been packed just now
      const T* const next_panel =
          tile.panels_packed ? block.panels.at(layout.begin(next), layout.lanes(next)) : nullptr;
      multiply_panel(tile, product, layout.used(panel), scratch.edge, [&](const Product<T>& part) {
        multiply_blocks(part, rows, distance, next_panel);
      });
      if (!block.is_last()) continue;
      if (panel % done_panels == done_panels - 1 || panel + 1 == layout.count) {
        const std::ptrdiff_t end = column + layout.used(panel);
        done(std::ptrdiff_t{0}, tile.rows, complete, end - complete);
        complete = end;
      }
    }
  });
}

}  // namespace heedful
