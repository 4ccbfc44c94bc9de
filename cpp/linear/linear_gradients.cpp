// Both gradients are a tiled product whose lanes run along In, so that B is copied into panels and
// never transposed:
//   dx       A = dy, in place, eight rows at a time    B = weight
//   dweight  A = dyᵀ, packed, eight columns to a block   B = x
// dbias is summed from the packed blocks while they are in the cache.
#include "linear/linear_gradients.hpp"

#include "linear/task_grid.hpp"
#include "linear/tile_product.hpp"
#include "parallel/interrupt_check.hpp"
#include "parallel/scratch.hpp"

namespace heedful {
namespace {

constexpr auto no_epilogue = [](const auto&) {};

// Number of rows whose products are summed in T, one depth block after the other. Sums of this many
// rows are added in double: the error of a sum in T grows with its length.
constexpr std::ptrdiff_t level_rows = 96 << 10;

// c += the product, with the sum over its depth in two levels.
template <class T>
void multiply_in_levels(TileProduct<T> product, const TaskGrid<T>& grid, const Team& team) {
  const Matrix<T> c = product.c;
  const Matrix<const T> a = product.a, b = product.b;
  const std::ptrdiff_t depth = product.depth, columns = product.columns;
  const EvenRanges levels{depth, ceil_div(depth, level_rows)};
  Buffer<T> sums(product.rows * columns);
  Buffer<double> total(product.rows * columns, zeroed);
  product.c = {sums.data(), columns};
  product.accumulate = false;
  InterruptCheck interrupt(team);
  for (std::ptrdiff_t level = 0; level < levels.count; ++level) {
    interrupt.check();
    const std::ptrdiff_t begin = levels.begin(level);
    product.depth = levels.length(level);
    product.a.data = a.row(begin);
    product.b.data = b.row(begin);
    multiply_in_tasks(product, grid, team, no_epilogue);
    parallel_for(product.rows, team, 0, [&](std::ptrdiff_t row, Worker&) {
      const bool last = level + 1 == levels.count;
      for (std::ptrdiff_t i = row * columns; i < (row + 1) * columns; ++i) {
        total[i] += static_cast<double>(sums[i]);
        if (last) c.row(row)[i - row * columns] += static_cast<T>(total[i]);
      }
    });
  }
}

}  // namespace

template <class T>
void linear_gradient_input(const LinearSizes& sizes, Matrix<const T> dy, Matrix<const T> weight,
                           Matrix<T> dx, bool add, const Team& team) {
  if (sizes.rows == 0 || sizes.inputs == 0) return;
  TileProduct<T> product{};
  product.rows = sizes.rows;
  product.columns = sizes.inputs;
  product.depth = sizes.outputs;
  product.a = dy;
  product.b = weight;
  product.c = dx;
  product.accumulate = add;
  const Team used = threads_for(cost_of(sizes), team);
  const auto grid = TaskGrid<T>::of_product(product, 128, used);
  multiply_in_tasks(product, grid, used, no_epilogue);
}

template <class T>
void linear_gradient_weight(const LinearSizes& sizes, Matrix<const T> dy, Matrix<const T> x,
                            Matrix<T> dweight, T* dbias, const Team& team) {
  if (sizes.outputs == 0) return;
  TileProduct<T> product{};
  product.rows = sizes.outputs;
  product.columns = sizes.inputs;
  product.depth = sizes.rows;
  product.a = dy;
  product.a_transposed = true;
  product.b = x;
  product.c = dweight;
  product.accumulate = true;
  Buffer<double> row_sums(dbias ? sizes.outputs : 0, zeroed);
  product.row_sums = dbias ? row_sums.data() : nullptr;
  // without inputs, one strip of no columns still sums dbias
  const Team used = threads_for(cost_of(sizes), team);
  const auto grid = TaskGrid<T>::of_product(product, 64, used);
  if (sizes.rows > level_rows) {
    multiply_in_levels(product, grid, used);
  } else {
    multiply_in_tasks(product, grid, used, no_epilogue);
  }
  for (std::ptrdiff_t output = 0; output < row_sums.size(); ++output) {
    dbias[output] += static_cast<T>(row_sums[output]);
  }
}

template void linear_gradient_input(const LinearSizes&, Matrix<const float>, Matrix<const float>,
                                    Matrix<float>, bool, const Team&);
template void linear_gradient_input(const LinearSizes&, Matrix<const double>, Matrix<const double>,
                                    Matrix<double>, bool, const Team&);
template void linear_gradient_weight(const LinearSizes&, Matrix<const float>, Matrix<const float>,
                                     Matrix<float>, float*, const Team&);
template void linear_gradient_weight(const LinearSizes&, Matrix<const double>, Matrix<const double>,
                                     Matrix<double>, double*, const Team&);

}  // namespace heedful
