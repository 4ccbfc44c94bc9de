// C of a dense product cut into tasks: strips of columns, in whole vectors, times ranges of rows.
// The cut depends on the shape alone.
#pragma once

#include <algorithm>
#include <cstddef>

#include "attention/pack.hpp"
#include "linear/tile_product.hpp"
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
    return vectors * strip / strips * simd::lanes<T>;
  }
  // Columns of a strip.
  std::ptrdiff_t width(std::ptrdiff_t strip) const {
    return std::min(begin(strip + 1), columns) - begin(strip);
  }

  // All ranges of a strip, then the next strip.
  Tile tile(std::ptrdiff_t task) const {
    const std::ptrdiff_t strip = task / cuts, cut = task % cuts;
    const std::ptrdiff_t row = rows * cut / cuts;
    return {row, rows * (cut + 1) / cuts - row, begin(strip), width(strip)};
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
  if (product.panels_made) product.panels += product.depth * tile.column;
  product.c.data += tile.row * product.c.stride + tile.column;
  // sums of rows are the work of the first strip
  if (product.row_sums) product.row_sums = tile.column == 0 ? product.row_sums + tile.row : nullptr;
  return product;
}

// All tiles on the team's threads. Calls done(tile, first, count) when these rows of a tile are
// complete.
template <class T, class Done>
void multiply_in_tasks(const TileProduct<T>& whole, const TaskGrid<T>& grid, const Team& team,
                       const Done& done) {
  const TileAreas<T> largest(part_of(whole, grid.largest()), nullptr);
  parallel_for(grid.tasks(), team, largest.size, [&](std::ptrdiff_t task, Worker& worker) {
    const auto tile = grid.tile(task);
    const TileProduct<T> product = part_of(whole, tile);
    multiply_tile(product, TileAreas<T>(product, worker.scratch), worker,
                  [&](std::ptrdiff_t first, std::ptrdiff_t count) { done(tile, first, count); });
  });
}

}  // namespace heedful
