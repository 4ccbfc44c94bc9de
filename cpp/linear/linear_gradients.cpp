// Both gradients are a tiled product whose lanes run along In, so that B is copied into panels and
// never turned:
//   dx       A = dy, in place, eight rows at a time    B = weight
//   dweight  A = dyᵀ, packed, eight columns to a block   B = x
// dbias is summed of the packed blocks, which are in the cache then.
#include "linear/linear_gradients.hpp"

#include "linear/task_grid.hpp"
#include "linear/tile_product.hpp"

namespace heedful {
namespace {

constexpr auto nothing_more = [](const auto&, std::ptrdiff_t, std::ptrdiff_t) {};

}  // namespace

template <class T>
void linear_gradient_input(const LinearSizes& sizes, Matrix<const T> dy, Matrix<const T> weight,
                           Matrix<T> dx, bool add, const Team& team) {
  if (sizes.rows == 0 || sizes.inputs == 0) return;
  TileProduct<T> product{};
  product.depth = sizes.outputs;
  product.a = dy;
  product.b = weight;
  product.c = dx;
  product.accumulate = add;
  const TaskGrid<T> grid(sizes.rows, sizes.inputs, 512, 128);
  multiply_in_tasks(product, grid, team_for(sizes, team), nothing_more);
}

template <class T>
void linear_gradient_weight(const LinearSizes& sizes, Matrix<const T> dy, Matrix<const T> x,
                            Matrix<T> dweight, T* dbias, const Team& team) {
  if (sizes.outputs == 0) return;
  TileProduct<T> product{};
  product.depth = sizes.rows;
  product.a = dy;
  product.a_turned = true;
  product.b = x;
  product.c = dweight;
  product.accumulate = true;
  product.row_sums = dbias;
  // without inputs, one strip of no columns still sums dbias
  const TaskGrid<T> grid(sizes.outputs, sizes.inputs, 512, 64);
  multiply_in_tasks(product, grid, team_for(sizes, team), nothing_more);
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
