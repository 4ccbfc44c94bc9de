#include "layers/recurrent/packed_weight.hpp"

#include "kernels/micro_kernel.hpp"
#include "linear/tile_product.hpp"

namespace heedful {

template <class T>
PackedWeight<T> PackedWeight<T>::pack(Matrix<const T> b, bool transposed, std::ptrdiff_t depth,
                                      std::ptrdiff_t columns, const Team& team, T* memory) {
  const Panels<T> strips(columns);
  parallel_for(strips.count, team, 0, [&](std::ptrdiff_t strip, Worker&) {
    const std::ptrdiff_t first = strips.begin(strip);
    const T* const from = transposed ? b.row(first) : b.data + first;
    pack_panels<T>({from, b.stride}, transposed, {0, depth, depth}, strips.used(strip),
                   memory + depth * first);
  });
  return {depth, columns, memory};
}

template <class T>
void PackedWeight<T>::multiply(std::ptrdiff_t strip, Matrix<const T> a, std::ptrdiff_t rows,
                               bool accumulate, T* sums) const {
  if (rows == 0) return;
  const Panels<T> layout(columns);
  const std::ptrdiff_t lanes = layout.lanes(strip);
  const auto blocks = DepthBlocks<T>::all(depth);
  Product<T> product{};
  product.rows = rows;
  product.vectors = static_cast<int>(lanes / simd::lanes<T>);
  product.a_row = a.stride;
  product.a_step = 1;
  product.b_step = product.c_row = lanes;
  product.c = sums;
  for (std::ptrdiff_t block = 0; block < blocks.count; ++block) {
    const std::ptrdiff_t begin = blocks.begin(block);
    product.depth = blocks.begin(block + 1) - begin;
    product.a = a.data + begin;
    product.b = data + depth * layout.begin(strip) + begin * lanes;
    product.accumulate = accumulate || block > 0;
    heedful::multiply(product);
  }
}

template struct PackedWeight<float>;
template struct PackedWeight<double>;

}  // namespace heedful
