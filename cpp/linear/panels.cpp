#include "linear/panels.hpp"

#include <cstring>

namespace heedful {
namespace {

template <class T>
void copy_panel(const T* from, std::ptrdiff_t stride, std::ptrdiff_t depth, std::ptrdiff_t lanes,
                std::ptrdiff_t used, T* to) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  const std::ptrdiff_t whole = used / width * width;
  for (std::ptrdiff_t k = 0; k < depth; ++k, from += stride, to += lanes) {
    for (std::ptrdiff_t lane = 0; lane < whole; lane += width) {
      simd::store(to + lane, simd::load(from + lane));
    }
    for (std::ptrdiff_t lane = whole; lane < lanes; ++lane) to[lane] = lane < used ? from[lane] : 0;
  }
}

}  // namespace

template <class T>
void pack_panels(Matrix<const T> b, bool transposed, const DepthSlice& slice,
                 std::ptrdiff_t columns, T* panels) {
  const Panels<T> layout(columns);
  for (std::ptrdiff_t panel = 0; panel < layout.count; ++panel) {
    const std::ptrdiff_t begin = layout.begin(panel), lanes = layout.lanes(panel);
    T* const to = panels + slice.held * begin + slice.begin * lanes;
    if (!transposed) {
      copy_panel(b.data + begin, b.stride, slice.depth, lanes, layout.used(panel), to);
      continue;
    }
    const T* rows[max_vectors * simd::lanes<T>];
    for (std::ptrdiff_t lane = 0; lane < lanes; ++lane) {
      rows[lane] = b.row(begin + std::min(lane, layout.used(panel) - 1));
    }
    rows_to_panel(rows, lanes, slice.depth, T{1}, to);
  }
}

template <class T>
void pack_blocks(Matrix<const T> a, const EvenRanges& blocks, std::ptrdiff_t first,
                 std::ptrdiff_t last, std::ptrdiff_t depth, T* packed) {
  const std::ptrdiff_t count = last - first;
  std::ptrdiff_t begins[group_blocks + 1];
  for (std::ptrdiff_t block = 0; block <= count; ++block) {
    begins[block] = blocks.begin(first + block);
  }
  const std::ptrdiff_t distance = block_distance(depth);
  if (begins[count] - begins[0] == count * block_rows) {  // all are full
    for (std::ptrdiff_t k = 0; k < depth; ++k) {
      const T* const from = a.row(k) + begins[0];
      for (std::ptrdiff_t block = 0; block < count; ++block) {
        std::memcpy(packed + block * distance + k * block_rows, from + block * block_rows,
                    block_rows * sizeof(T));
      }
    }
    return;
  }
  for (std::ptrdiff_t k = 0; k < depth; ++k) {
    const T* const from = a.row(k);
    for (std::ptrdiff_t block = 0; block < count; ++block) {
      T* const to = packed + block * distance + k * block_rows;
      for (std::ptrdiff_t i = 0; i < block_rows; ++i) {
        const std::ptrdiff_t row = begins[block] + i;
        to[i] = row < begins[block + 1] ? from[row] : T{0};
      }
    }
  }
}

template <class T>
void sum_block(const T* block, std::ptrdiff_t depth, T* sums) {
  constexpr int num_sums = 4 * block_rows;  // independent: an addition waits for the one before it
  T partial[num_sums] = {};
  const std::ptrdiff_t whole = depth / 4 * 4;
  for (std::ptrdiff_t k = 0; k < whole; k += 4) {
#pragma GCC unroll 32
    for (int i = 0; i < num_sums; ++i) partial[i] += block[k * block_rows + i];
  }
  for (std::ptrdiff_t k = whole; k < depth; ++k) {
    for (int i = 0; i < block_rows; ++i) partial[i] += block[k * block_rows + i];
  }
  for (int i = 0; i < block_rows; ++i) {
    sums[i] = (partial[i] + partial[i + 8]) + (partial[i + 16] + partial[i + 24]);
  }
}

template void pack_panels(Matrix<const float>, bool, const DepthSlice&, std::ptrdiff_t, float*);
template void pack_panels(Matrix<const double>, bool, const DepthSlice&, std::ptrdiff_t, double*);
template void pack_blocks(Matrix<const float>, const EvenRanges&, std::ptrdiff_t, std::ptrdiff_t,
                          std::ptrdiff_t, float*);
template void pack_blocks(Matrix<const double>, const EvenRanges&, std::ptrdiff_t, std::ptrdiff_t,
                          std::ptrdiff_t, double*);
template void sum_block(const float*, std::ptrdiff_t, float*);
template void sum_block(const double*, std::ptrdiff_t, double*);

}  // namespace heedful
