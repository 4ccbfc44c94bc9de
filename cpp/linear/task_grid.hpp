// The partition of C of a dense product into tasks: strips of columns, in full vectors, times
// ranges of rows. It depends on the shape alone.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/rows.hpp"
#include "linear/panels_order.hpp"
#include "linear/rows_order.hpp"
#include "parallel/interrupt_check.hpp"
#include "parallel/scratch.hpp"
#include "simd/packet.hpp"

namespace heedful {

// ⌈count / divisor⌉, but at least 1: an empty range is one empty piece.
inline std::ptrdiff_t ceil_div(std::ptrdiff_t count, std::ptrdiff_t divisor) {
  return std::max<std::ptrdiff_t>((count + divisor - 1) / divisor, 1);
}

struct OutputTile {
  std::ptrdiff_t row, rows, column, columns;
};

// The part of a product that computes the tile of C.
template <class T>
TileProduct<T> product_of_tile(TileProduct<T> product, const OutputTile& tile) {
  product.rows = tile.rows;
  product.columns = tile.columns;
  product.a.data += product.a_transposed ? tile.row : tile.row * product.a.stride;
  product.b.data += product.b_transposed ? tile.column * product.b.stride : tile.column;
  if (product.panels_packed) {
    product.panels += product.depth * (tile.column - product.panels_column);
    product.panels_column = tile.column;
  }
  product.c.data += tile.row * product.c.stride + tile.column;
  // row sums are computed by the first strip
  if (product.row_sums) product.row_sums = tile.column == 0 ? product.row_sums + tile.row : nullptr;
  return product;
}

template <class T>
struct TaskGrid {
  static constexpr std::ptrdiff_t min_tasks = 16;  // where min_rows allows

  std::ptrdiff_t rows, columns;
  std::ptrdiff_t strips, row_ranges;
  std::ptrdiff_t row_unit = 1;  // ranges begin at its multiples

  // Ranges of at most `max_rows` rows; of fewer, but not below `min_rows`, where there would be too
  // few tasks.
  TaskGrid(std::ptrdiff_t num_rows, std::ptrdiff_t num_columns, std::ptrdiff_t max_rows,
           std::ptrdiff_t min_rows)
      : rows(num_rows),
        columns(num_columns),
        strips(ceil_div(columns, strip_columns<T>)),
        row_ranges(std::max(ceil_div(rows, max_rows),
                            std::min(ceil_div(min_tasks, strips), ceil_div(rows, min_rows)))) {}

  // For tiles that are computed panel by panel: ranges of rows that are packed once per strip, and
  // strips as wide as the number of tasks allows.
  static TaskGrid of_packed_rows(std::ptrdiff_t rows, std::ptrdiff_t columns, const Team& team) {
    const std::ptrdiff_t wanted = team.threads > 1 ? 4 * std::ptrdiff_t{team.threads} : 1;
    TaskGrid grid(rows, columns, max_packed_rows, max_packed_rows / 2);
    const std::ptrdiff_t ranges = ceil_div(rows, max_packed_rows);
    grid.strips = std::max(ceil_div(columns, wide_strip_columns<T>),
                           std::min(ceil_div(wanted, ranges), grid.strips));
    grid.row_ranges = std::max(
        ranges, std::min(ceil_div(wanted, grid.strips), ceil_div(rows, max_packed_rows / 2)));
    grid.row_unit = packed_rows;
    return grid;
  }

  // For the product's tiles, in whichever order they are computed.
  static TaskGrid of_product(const TileProduct<T>& product, std::ptrdiff_t min_rows,
                             const Team& team) {
    const TaskGrid packed = of_packed_rows(product.rows, product.columns, team);
    return is_panels_first(product_of_tile(product, packed.largest()))
               ? packed
               : TaskGrid(product.rows, product.columns, 512, min_rows);
  }

  std::ptrdiff_t tasks() const { return strips * row_ranges; }

  // First column of a strip.
  std::ptrdiff_t begin(std::ptrdiff_t strip) const {
    const std::ptrdiff_t vectors = padded<T>(columns) / simd::lanes<T>;
    return EvenRanges{vectors, strips}.begin(strip) * simd::lanes<T>;
  }
  // Columns of a strip.
  std::ptrdiff_t width(std::ptrdiff_t strip) const {
    return std::min(begin(strip + 1), columns) - begin(strip);
  }
  // At most.
  std::ptrdiff_t max_width() const {
    return ceil_div(padded<T>(columns) / simd::lanes<T>, strips) * simd::lanes<T>;
  }

  // All ranges of a strip, then the next strip.
  OutputTile tile(std::ptrdiff_t task) const {
    const std::ptrdiff_t strip = task / row_ranges, range = task % row_ranges;
    const EvenRanges ranges{ceil_div(rows, row_unit), row_ranges};
    const std::ptrdiff_t row = ranges.begin(range) * row_unit;
    return {row, std::min(ranges.begin(range + 1) * row_unit, rows) - row, begin(strip),
            width(strip)};
  }
  // An upper bound of their sizes.
  OutputTile largest() const {
    return {0, ceil_div(ceil_div(rows, row_unit), row_ranges) * row_unit, 0, max_width()};
  }
};

// Memory for panels that all threads read. It is reused by the next product: fresh memory costs as
// much as packing.
template <class T>
struct PackedPanels {
  ThreadScratch memory;
  T* data;

  explicit PackedPanels(std::ptrdiff_t count)
      : memory(1, checked_bytes(count, sizeof(T))), data(reinterpret_cast<T*>(memory.of(0))) {}
};

// Strips [first, last) of a grid.
struct Strips {
  std::ptrdiff_t first, last;

  std::ptrdiff_t count() const { return last - first; }
};

// B as panels, strip by strip, packed by the whole team: strip s begins at
// depth · (grid.begin(s) − grid.begin(strips.first)).
template <class T>
void pack_strips(Matrix<const T> b, bool transposed, std::ptrdiff_t depth, const TaskGrid<T>& grid,
                 const Strips& strips, const Team& team, T* packed) {
  const EvenRanges pieces{depth, ceil_div(depth, 128)};
  const std::ptrdiff_t origin = grid.begin(strips.first);
  parallel_for(strips.count() * pieces.count, team, 0, [&](std::ptrdiff_t task, Worker&) {
    const std::ptrdiff_t strip = strips.first + task / pieces.count;
    const std::ptrdiff_t piece = task % pieces.count;
    const std::ptrdiff_t begin = pieces.begin(piece), column = grid.begin(strip);
    const DepthSlice slice{begin, pieces.length(piece), depth};
    const T* const from = transposed ? b.row(column) + begin : b.row(begin) + column;
    T* const to = packed + depth * (column - origin);
    pack_panels<T>({from, b.stride}, transposed, slice, grid.width(strip), to);
  });
}

// Calls done(row, rows, column, columns) when this part of C is complete, while it is in the cache.
template <class T, class Done>
void multiply_tile(const TileProduct<T>& tile, const TileScratch<T>& scratch, Worker& worker,
                   const Done& done) {
  if (is_panels_first(tile)) {
    multiply_by_panels(tile, scratch, worker, done);
  } else {
    multiply_by_rows(tile, scratch, worker, done);
  }
}

// Computes all tiles of the strips on the team's threads. Calls done(part) when this part of C is
// complete.
template <class T, class Done>
void multiply_tiles(const TileProduct<T>& whole, const TaskGrid<T>& grid, const Strips& strips,
                    const Team& team, const Done& done) {
  const TileScratch<T> largest(product_of_tile(whole, grid.largest()), nullptr);
  const std::ptrdiff_t first = strips.first * grid.row_ranges,
                       tasks = strips.count() * grid.row_ranges;
  parallel_for(tasks, team, largest.size, [&](std::ptrdiff_t task, Worker& worker) {
    const auto tile = grid.tile(first + task);
    const TileProduct<T> product = product_of_tile(whole, tile);
    multiply_tile(product, TileScratch<T>(product, worker.scratch), worker,
                  [&](std::ptrdiff_t row, std::ptrdiff_t rows, std::ptrdiff_t column,
                      std::ptrdiff_t columns) {
                    done(OutputTile{tile.row + row, rows, tile.column + column, columns});
                  });
  });
}

// The same, with B packed once for all tiles of a strip if there are several: few enough strips at
// a time, of few enough depth blocks, that the panels need little memory.
template <class T, class Done>
void multiply_in_tasks(const TileProduct<T>& whole, const TaskGrid<T>& grid, const Team& team,
                       const Done& done) {
  constexpr std::ptrdiff_t max_elements = (12 << 20) / sizeof(T);
  if (grid.row_ranges == 1 || whole.depth == 0 || grid.columns == 0) {  // no packing to share
    return multiply_tiles(whole, grid, {0, grid.strips}, team, done);
  }
  const auto blocks = DepthBlocks<T>::all(whole.depth);
  const std::ptrdiff_t block = ceil_div(whole.depth, blocks.count);  // the longest
  // strips at their whole depth, if one of them is not too large: partial sums of all rows would
  // be stored and read once more per slice of the depth
  const std::ptrdiff_t group_strips =
      std::max<std::ptrdiff_t>(max_elements / (whole.depth * grid.max_width()), 1);
  const EvenRanges groups{grid.strips, ceil_div(grid.strips, group_strips)};
  const std::ptrdiff_t width = ceil_div(grid.strips, groups.count) * grid.max_width();
  const std::ptrdiff_t slices =
      ceil_div(whole.depth * width, std::max(max_elements, block * width));
  const PackedPanels<T> panels(ceil_div(blocks.count, slices) * block * width);
  InterruptCheck interrupt(team);
  for (std::ptrdiff_t pass = 0; pass < groups.count * slices; ++pass) {
    interrupt.check();
    const std::ptrdiff_t group = pass / slices, slice = pass % slices;
    const Strips strips{groups.begin(group), groups.begin(group + 1)};
    TileProduct<T> product = whole;
    product.slice = blocks.slice(slice, slices);
    product.depth = product.slice.begin(product.slice.last);
    const std::ptrdiff_t begin = blocks.begin(product.slice.first);
    product.a.data = whole.a_transposed ? whole.a.row(begin) : whole.a.data + begin;
    product.accumulate = slice > 0 || whole.accumulate;
    const T* const from = whole.b_transposed ? whole.b.data + begin : whole.b.row(begin);
    const Matrix<const T> b{from, whole.b.stride};
    pack_strips<T>(b, whole.b_transposed, product.depth, grid, strips, team, panels.data);
    product.panels = panels.data;
    product.panels_packed = true;
    product.panels_column = grid.begin(strips.first);
    if (slice + 1 < slices) {
      multiply_tiles(product, grid, strips, team, [](const auto&) {});
    } else {
      multiply_tiles(product, grid, strips, team, done);
    }
  }
}

}  // namespace heedful
