// C of a dense product cut into tasks: strips of columns, in whole vectors, times ranges of rows.
// The cut depends on the shape alone.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/rows.hpp"
#include "linear/tile_product.hpp"
#include "parallel/patience.hpp"
#include "parallel/scratch.hpp"
#include "simd/packet.hpp"

namespace heedful {

// How many parts of at most `most` there are.
inline std::ptrdiff_t parts_of(std::ptrdiff_t count, std::ptrdiff_t most) {
  return std::max<std::ptrdiff_t>((count + most - 1) / most, 1);
}

template <class T>
struct TaskGrid {
  static constexpr std::ptrdiff_t enough = 16;  // tasks

  std::ptrdiff_t rows, columns;
  std::ptrdiff_t strips, cuts;

  struct Tile {
    std::ptrdiff_t row, rows, column, columns;
  };

  // Ranges of at most `most` rows; of fewer, but not less than `least`, where there would be few
  // tasks.
  TaskGrid(std::ptrdiff_t number_of_rows, std::ptrdiff_t number_of_columns, std::ptrdiff_t most,
           std::ptrdiff_t least)
      : rows(number_of_rows),
        columns(number_of_columns),
        strips(parts_of(columns, strip_columns<T>)),
        cuts(std::max(parts_of(rows, most),
                      std::min(parts_of(enough, strips), parts_of(rows, least)))) {}

  std::ptrdiff_t tasks() const { return strips * cuts; }

  // First column of a strip.
  std::ptrdiff_t begin(std::ptrdiff_t strip) const {
    const std::ptrdiff_t vectors = padded<T>(columns) / simd::lanes<T>;
    return EvenRanges{vectors, strips}.begin(strip) * simd::lanes<T>;
  }
  // Columns of a strip.
  std::ptrdiff_t width(std::ptrdiff_t strip) const {
    return std::min(begin(strip + 1), columns) - begin(strip);
  }

  // All ranges of a strip, then the next strip.
  Tile tile(std::ptrdiff_t task) const {
    const std::ptrdiff_t strip = task / cuts, cut = task % cuts;
    const EvenRanges ranges{rows, cuts};
    return {ranges.begin(cut), ranges.length(cut), begin(strip), width(strip)};
  }
  // As large as any of them.
  Tile largest() const { return {0, parts_of(rows, cuts), 0, strip_columns<T>}; }
};

// The part of a product that makes the tile of C.
template <class T>
TileProduct<T> part_of(TileProduct<T> product, const typename TaskGrid<T>::Tile& tile) {
  product.rows = tile.rows;
  product.columns = tile.columns;
  product.a.data += product.a_turned ? tile.row : tile.row * product.a.stride;
  product.b.data += product.b_turned ? tile.column * product.b.stride : tile.column;
  if (product.panels_made) {
    product.panels += product.depth * (tile.column - product.panels_column);
    product.panels_column = tile.column;
  }
  product.c.data += tile.row * product.c.stride + tile.column;
  // sums of rows are the work of the first strip
  if (product.row_sums) product.row_sums = tile.column == 0 ? product.row_sums + tile.row : nullptr;
  return product;
}

// Room for panels that all threads read. It is kept for the next product: fresh memory costs as
// much as packing.
template <class T>
struct PackedPanels {
  WorkAreas area;
  T* data;

  explicit PackedPanels(std::ptrdiff_t numbers)
      : area(1, checked_bytes(numbers, sizeof(T))), data(reinterpret_cast<T*>(area.of(0))) {}
};

// Strips [first, last) of a grid.
struct Strips {
  std::ptrdiff_t first, last;

  std::ptrdiff_t count() const { return last - first; }
};

// B as panels, strip by strip, packed by the whole team: the strip s begins at
// depth · (grid.begin(s) − grid.begin(strips.first)).
template <class T>
void pack_strips(Matrix<const T> b, bool turned, std::ptrdiff_t depth, const TaskGrid<T>& grid,
                 const Strips& strips, const Team& team, T* packed) {
  const EvenRanges pieces{depth, parts_of(depth, 128)};
  const std::ptrdiff_t origin = grid.begin(strips.first);
  parallel_for(strips.count() * pieces.count, team, 0, [&](std::ptrdiff_t task, Worker&) {
    const std::ptrdiff_t strip = strips.first + task / pieces.count;
    const std::ptrdiff_t piece = task % pieces.count;
    const std::ptrdiff_t begin = pieces.begin(piece), column = grid.begin(strip);
    const DepthPart part{begin, pieces.length(piece), depth};
    const T* const from = turned ? b.row(column) + begin : b.row(begin) + column;
    T* const to = packed + depth * (column - origin);
    pack_panels<T>({from, b.stride}, turned, part, grid.width(strip), to);
  });
}

// All tiles of the strips on the team's threads. Calls done(tile, first, count) when these rows of
// a tile are complete.
template <class T, class Done>
void multiply_tiles(const TileProduct<T>& whole, const TaskGrid<T>& grid, const Strips& strips,
                    const Team& team, const Done& done) {
  const TileAreas<T> largest(part_of(whole, grid.largest()), nullptr);
  const std::ptrdiff_t first = strips.first * grid.cuts, tasks = strips.count() * grid.cuts;
  parallel_for(tasks, team, largest.size, [&](std::ptrdiff_t task, Worker& worker) {
    const auto tile = grid.tile(first + task);
    const TileProduct<T> product = part_of(whole, tile);
    multiply_tile(product, TileAreas<T>(product, worker.scratch), worker,
                  [&](std::ptrdiff_t column, std::ptrdiff_t count) { done(tile, column, count); });
  });
}

// The same, where B is packed once for all tiles of a strip, if there are several: whole blocks of
// the depth, and as many strips at a time that panels need little memory.
template <class T, class Done>
void multiply_in_tasks(const TileProduct<T>& whole, const TaskGrid<T>& grid, const Team& team,
                       const Done& done) {
  constexpr std::ptrdiff_t most_numbers = (8 << 20) / sizeof(T);
  if (grid.cuts == 1 || whole.depth == 0 || grid.columns == 0) {  // nothing to pack for several
    return multiply_tiles(whole, grid, {0, grid.strips}, team, done);
  }
  const auto blocks = DepthBlocks<T>::all(whole.depth);
  const std::ptrdiff_t block = parts_of(whole.depth, blocks.count);  // the longest
  const std::ptrdiff_t group_strips =
      std::max<std::ptrdiff_t>(most_numbers / (block * strip_columns<T>), 1);
  const EvenRanges groups{grid.strips, parts_of(grid.strips, group_strips)};
  const std::ptrdiff_t width =
      std::min(padded<T>(grid.columns), parts_of(grid.strips, groups.count) * strip_columns<T>);
  const std::ptrdiff_t slices =
      parts_of(blocks.count, std::max<std::ptrdiff_t>(most_numbers / (block * width), 1));
  const PackedPanels<T> panels(parts_of(blocks.count, slices) * block * width);
  Patience patience(team);
  for (std::ptrdiff_t turn = 0; turn < groups.count * slices; ++turn) {
    patience.check();
    const std::ptrdiff_t group = turn / slices, slice = turn % slices;
    const Strips strips{groups.begin(group), groups.begin(group + 1)};
    TileProduct<T> product = whole;
    product.slice = blocks.slice(slice, slices);
    product.depth = product.slice.begin(product.slice.last);
    const std::ptrdiff_t begin = blocks.begin(product.slice.first);
    product.a.data = whole.a_turned ? whole.a.row(begin) : whole.a.data + begin;
    product.accumulate = slice > 0 || whole.accumulate;
    const T* const from = whole.b_turned ? whole.b.data + begin : whole.b.row(begin);
    const Matrix<const T> b{from, whole.b.stride};
    pack_strips<T>(b, whole.b_turned, product.depth, grid, strips, team, panels.data);
    product.panels = panels.data;
    product.panels_made = true;
    product.panels_column = grid.begin(strips.first);
    if (slice + 1 < slices) {
      multiply_tiles(product, grid, strips, team,
                     [](const auto&, std::ptrdiff_t, std::ptrdiff_t) {});
    } else {
      multiply_tiles(product, grid, strips, team, done);
    }
  }
}

}  // namespace heedful
