#include "linear/panels.hpp"

#include <cstring>

#include "arrays/panel_transposes.hpp"

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

// to[k][row] = from[row][k] of packed_rows = 4 rows.
template <class T>
void interleave(const T* const (&from)[4], std::ptrdiff_t depth, T* to) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  std::ptrdiff_t k = 0;
  for (; k + width <= depth; k += width, to += 4 * width) {
    simd::Packet<T> rows[4];
    for (int row = 0; row < 4; ++row) rows[row] = simd::load(from[row] + k);
    const auto even_low = simd::zip_low<T>(rows[0], rows[2]);
    const auto even_high = simd::zip_high<T>(rows[0], rows[2]);
    const auto odd_low = simd::zip_low<T>(rows[1], rows[3]);
    const auto odd_high = simd::zip_high<T>(rows[1], rows[3]);
    simd::store(to, simd::zip_low<T>(even_low, odd_low));
    simd::store(to + width, simd::zip_high<T>(even_low, odd_low));
    simd::store(to + 2 * width, simd::zip_low<T>(even_high, odd_high));
    simd::store(to + 3 * width, simd::zip_high<T>(even_high, odd_high));
  }
  for (; k < depth; ++k) {
    for (int row = 0; row < 4; ++row) *to++ = from[row][k];
  }
}

template <class T>
void pack_rows(Matrix<const T> a, const std::ptrdiff_t* begins, std::ptrdiff_t count,
               std::ptrdiff_t depth, T* packed) {
  const std::ptrdiff_t distance = block_distance(depth);
  for (std::ptrdiff_t block = 0; block < count; ++block, packed += distance) {
    const std::ptrdiff_t rows = begins[block + 1] - begins[block];
    if constexpr (packed_rows == 4) {
      if (rows == packed_rows) {
        const T* from[4];
        for (int row = 0; row < 4; ++row) from[row] = a.row(begins[block] + row);
        interleave<T>(from, depth, packed);
        continue;
      }
    }
    for (std::ptrdiff_t row = 0; row < packed_rows; ++row) {
      const T* const from = a.row(begins[block] + row);
      for (std::ptrdiff_t k = 0; k < depth; ++k) {
        packed[k * packed_rows + row] = row < rows ? from[k] : T{0};
      }
    }
  }
}

template <class T>
void pack_columns(Matrix<const T> a, const std::ptrdiff_t* begins, std::ptrdiff_t count,
                  std::ptrdiff_t depth, T* packed) {
  const std::ptrdiff_t distance = block_distance(depth);
  if (begins[count] - begins[0] == count * packed_rows) {  // all are full
    for (std::ptrdiff_t k = 0; k < depth; ++k) {
      const T* const from = a.row(k) + begins[0];
      for (std::ptrdiff_t block = 0; block < count; ++block) {
        std::memcpy(packed + block * distance + k * packed_rows, from + block * packed_rows,
                    packed_rows * sizeof(T));
      }
    }
    return;
  }
  for (std::ptrdiff_t k = 0; k < depth; ++k) {
    const T* const from = a.row(k);
    for (std::ptrdiff_t block = 0; block < count; ++block) {
      T* const to = packed + block * distance + k * packed_rows;
      for (std::ptrdiff_t i = 0; i < packed_rows; ++i) {
        const std::ptrdiff_t row = begins[block] + i;
        to[i] = row < begins[block + 1] ? from[row] : T{0};
      }
    }
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
void pack_blocks(Matrix<const T> a, bool transposed, const EvenRanges& blocks, std::ptrdiff_t first,
                 std::ptrdiff_t last, std::ptrdiff_t depth, T* packed) {
  const std::ptrdiff_t count = last - first;
  std::ptrdiff_t begins[group_blocks + 1];
  for (std::ptrdiff_t block = 0; block <= count; ++block) {
    begins[block] = blocks.begin(first + block);
  }
  if (transposed) {
    pack_columns(a, begins, count, depth, packed);
  } else {
    pack_rows(a, begins, count, depth, packed);
  }
}

template <class T>
void sum_block(const T* block, std::ptrdiff_t depth, T* sums) {
  constexpr int num_sums = 4 * packed_rows;  // independent: an addition waits for the one before it
  T partial[num_sums] = {};
  const std::ptrdiff_t whole = depth / 4 * 4;
  for (std::ptrdiff_t k = 0; k < whole; k += 4) {
#pragma GCC unroll 32
    for (int i = 0; i < num_sums; ++i) partial[i] += block[k * packed_rows + i];
  }
  for (std::ptrdiff_t k = whole; k < depth; ++k) {
    for (int i = 0; i < packed_rows; ++i) partial[i] += block[k * packed_rows + i];
  }
  for (int i = 0; i < packed_rows; ++i) {
    sums[i] = (partial[i] + partial[i + packed_rows]) +
              (partial[i + 2 * packed_rows] + partial[i + 3 * packed_rows]);
  }
}

template void pack_panels(Matrix<const float>, bool, const DepthSlice&, std::ptrdiff_t, float*);
template void pack_panels(Matrix<const double>, bool, const DepthSlice&, std::ptrdiff_t, double*);
template void pack_blocks(Matrix<const float>, bool, const EvenRanges&, std::ptrdiff_t,
                          std::ptrdiff_t, std::ptrdiff_t, float*);
template void pack_blocks(Matrix<const double>, bool, const EvenRanges&, std::ptrdiff_t,
                          std::ptrdiff_t, std::ptrdiff_t, double*);
template void sum_block(const float*, std::ptrdiff_t, float*);
template void sum_block(const double*, std::ptrdiff_t, double*);

}  // namespace heedful
