// Three algorithms, chosen by the shape alone, that differ in which operand is packed and which is
// read in place:
//
//   few rows   y = x Wᵀ with the lanes over In: the weight is read once, in place, at memory
//              bandwidth
//   some rows  Yᵀ = W Xᵀ: x is packed once for all tasks, the weight is broadcast in place and read
//              once; tiles of Yᵀ are transposed when they are written
//   many rows  Y = X Wᵀ: each task packs its strip of the weight, x is broadcast in place
//
// Packing an operand takes about a sixteenth of the time of multiplying it by one row, so the
// smaller one is packed.
//
// Some rows and many rows have the same bits: they sum over In, one depth block after the other.
// Few rows sum over In in every lane separately, so they have other bits, the same for 1 to 8 rows.
#include "linear/linear_forward.hpp"

#include <algorithm>

#include "arrays/panel_transposes.hpp"
#include "arrays/work_area.hpp"
#include "linear/few_rows.hpp"
#include "linear/task_grid.hpp"
#include "linear/tile_product.hpp"
#include "parallel/scratch.hpp"

namespace heedful {
namespace {

template <class T>
struct Call {
  const LinearSizes& sizes;
  Matrix<const T> x, weight;
  const Epilogue<T>& epilogue;
  Team team;
};

// ---- some rows

// A task's tile of Yᵀ, and its transpose.
template <class T>
struct TransposedScratch {
  std::size_t size;
  TileScratch<T> tile;
  T* sums;        // (outputs, lanes)
  T* transposed;  // (lanes, outputs padded to full vectors)
  T* ones;        // (lanes)

  TransposedScratch(const TileProduct<T>& product, std::byte* scratch) : tile(product, scratch) {
    WorkArea area(scratch);
    area.take<std::byte>(static_cast<std::ptrdiff_t>(tile.size));
    const std::ptrdiff_t lanes = padded<T>(product.columns);
    sums = area.take<T>(product.rows * lanes);
    transposed = area.take<T>(padded<T>(product.rows) * lanes);
    ones = area.take<T>(lanes);
    size = area.size();
  }
};

template <class T>
void finish_transposed(const Epilogue<T>& epilogue, const TransposedScratch<T>& scratch,
                       const OutputTile& tile) {
  const std::ptrdiff_t lanes = padded<T>(tile.columns), stride = padded<T>(tile.rows);
  T* to[strip_columns<T>];
  for (std::ptrdiff_t lane = 0; lane < lanes; ++lane) to[lane] = scratch.transposed + lane * stride;
  std::fill_n(scratch.ones, lanes, T{1});
  panel_to_rows(scratch.sums, lanes, tile.rows, scratch.ones, to);
  for (std::ptrdiff_t lane = 0; lane < tile.columns; ++lane) {
    epilogue.finish(to[lane], tile.column + lane, tile.row, tile.rows);
  }
}

template <class T>
void some(const Call<T>& call) {
  const TaskGrid<T> grid(call.sizes.outputs, call.sizes.rows, 192, 16);
  const PackedPanels<T> packed(call.sizes.inputs * padded<T>(call.sizes.rows));
  pack_strips(call.x, true, call.sizes.inputs, grid, {0, grid.strips}, call.team, packed.data);
  TileProduct<T> whole{};
  whole.depth = call.sizes.inputs;
  whole.a = call.weight;
  whole.panels = packed.data;
  whole.panels_packed = true;
  whole.c_padded = true;
  const auto run = [&](std::ptrdiff_t task, Worker& worker) {
    const auto tile = grid.tile(task);
    TileProduct<T> product = product_of_tile(whole, tile);
    const TransposedScratch<T> scratch(product, worker.scratch);
    product.c = {scratch.sums, padded<T>(tile.columns)};
    multiply_tile(product, scratch.tile, worker, [](auto...) {});
    finish_transposed(call.epilogue, scratch, tile);
  };
  const TransposedScratch<T> scratch(product_of_tile(whole, grid.largest()), nullptr);
  parallel_for(grid.tasks(), call.team, scratch.size, run);
}

// ---- many rows

template <class T>
void many(const Call<T>& call) {
  const Epilogue<T>& epilogue = call.epilogue;
  // Partial sums of the depth blocks are stored where the results will be, unless the residual is
  // there.
  Matrix<T> sums = epilogue.before ? epilogue.before : epilogue.y;
  Buffer<T> own_sums;
  if (sums.data == epilogue.residual.data) {
    own_sums = Buffer<T>(call.sizes.rows * call.sizes.outputs);
    sums = {own_sums.data(), call.sizes.outputs};
  }
  TileProduct<T> product{};
  product.rows = call.sizes.rows;
  product.columns = call.sizes.outputs;
  product.depth = call.sizes.inputs;
  product.a = call.x;
  product.b = call.weight;
  product.b_transposed = true;
  product.c = sums;
  const auto grid = TaskGrid<T>::of_product(product, 128, call.team);
  const auto finish = [&](const auto& part) {
    for (std::ptrdiff_t row = part.row; row < part.row + part.rows; ++row) {
      epilogue.finish(sums.row(row) + part.column, row, part.column, part.columns);
    }
  };
  multiply_in_tasks(product, grid, call.team, finish);
}

}  // namespace

template <class T>
void linear_forward(const LinearSizes& sizes, Matrix<const T> x, Matrix<const T> weight,
                    const Epilogue<T>& epilogue, const Team& team) {
  if (sizes.rows == 0 || sizes.outputs == 0) return;
  const Call<T> call{sizes, x, weight, epilogue, threads_for(cost_of(sizes), team)};
  if (are_few_rows<T>(sizes)) {
    return multiply_few_rows(sizes, x, Rows<T>{weight.data, weight.stride}, epilogue, call.team);
  }
  // the number of elements that are packed or transposed: x and y, or the weight
  const auto rows = static_cast<double>(sizes.rows), outputs = static_cast<double>(sizes.outputs);
  const auto inputs = static_cast<double>(sizes.inputs);
  if (rows * (inputs + outputs) < inputs * outputs) return some(call);
  many(call);
}

template void linear_forward(const LinearSizes&, Matrix<const float>, Matrix<const float>,
                             const Epilogue<float>&, const Team&);
template void linear_forward(const LinearSizes&, Matrix<const double>, Matrix<const double>,
                             const Epilogue<double>&, const Team&);

}  // namespace heedful
