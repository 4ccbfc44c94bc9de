#include "kernels/micro_kernel.hpp"

#include <algorithm>
#include <utility>

#include "arrays/even_ranges.hpp"
#include "kernels/column_blocks.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// Which of B and C are panels, whose rows are side by side.
enum class Packed : unsigned char { none, b, b_and_c };

// What is known of a product when it is compiled.
template <int Vectors_, bool ContiguousRows_, Packed packed>
struct Layout {
  static constexpr int vectors = Vectors_;
  static constexpr bool contiguous_rows = ContiguousRows_;
  static constexpr bool b_packed = packed != Packed::none, c_packed = packed == Packed::b_and_c;
};

template <class T, int Rows, class Layout>
[[gnu::always_inline]] inline void block(const Product<T>& p, std::ptrdiff_t first_row) {
  constexpr int Vectors = Layout::vectors;
  constexpr bool ContiguousRows = Layout::contiguous_rows;
  using P = simd::Packet<T>;
  constexpr int width = simd::lanes<T>;
  const std::ptrdiff_t row_stride = ContiguousRows ? 1 : p.a_row;
  const std::ptrdiff_t step = ContiguousRows ? p.a_step : 1;
  const T* a = p.a + first_row * row_stride;
  const T* b = p.b;
  const std::ptrdiff_t b_step = Layout::b_packed ? Vectors * width : p.b_step;
  const std::ptrdiff_t c_row = Layout::c_packed ? Vectors * width : p.c_row;
  P sums[Rows][Vectors];
#pragma GCC unroll 32
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) sums[r][v] = simd::broadcast(T{0});
  }
#pragma GCC unroll 8
  for (std::ptrdiff_t k = 0; k < p.depth; ++k) {
    P columns[Vectors];
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) columns[v] = simd::load(b + v * width);
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r) {
      const P element = simd::broadcast(a[r * row_stride]);
#pragma GCC unroll 32
      for (int v = 0; v < Vectors; ++v) {
        sums[r][v] = simd::multiply_add(element, columns[v], sums[r][v]);
      }
    }
    a += step;
    b += b_step;
  }
  T* const c = p.c + first_row * c_row;
  if (p.accumulate) {
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 32
      for (int v = 0; v < Vectors; ++v) {
        sums[r][v] = simd::add(simd::load(c + r * c_row + v * width), sums[r][v]);
      }
    }
  }
  if (p.row_factors) {
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r) {
      const P factor = simd::broadcast(p.row_factors[first_row + r]);
#pragma GCC unroll 32
      for (int v = 0; v < Vectors; ++v) sums[r][v] = simd::multiply(sums[r][v], factor);
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) simd::store(c + r * c_row + v * width, sums[r][v]);
  }
  if (p.maximum) {
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) {
      P maximum = simd::load(p.maximum + v * width);
#pragma GCC unroll 32
      for (int r = 0; r < Rows; ++r) maximum = simd::maximum(maximum, sums[r][v]);
      simd::store(p.maximum + v * width, maximum);
    }
  }
}

// Blocks of Rows rows each, [begin, end). They are inlined: products of a short depth would take a
// noticeable part of their instructions to enter and leave each.
template <class T, int Rows, class Layout>
void run(const Product<T>& p, std::ptrdiff_t begin, std::ptrdiff_t end) {
  for (; begin < end; begin += Rows) {
    block<T, Rows, Layout>(p, begin);
    if (p.prefetch) p.prefetch->next();
  }
}

template <class T>
using Run = void (*)(const Product<T>&, std::ptrdiff_t, std::ptrdiff_t);

template <class T, class Layout, int... Index>
void blocks(const Product<T>& p, std::integer_sequence<int, Index...>) {
  static constexpr Run<T> table[] = {run<T, Index + 1, Layout>...};
  constexpr auto max_block_rows = static_cast<unsigned>(sizeof...(Index));
  if (p.rows == 0) return;
  // rows are split evenly, because a block of one row would stall on its loads
  const auto rows = static_cast<unsigned>(p.rows);
  const unsigned count = (rows + max_block_rows - 1) / max_block_rows;
  const unsigned few = rows / count, longer = rows % count;
  const std::ptrdiff_t end_of_longer = longer * (few + 1);
  if (longer > 0) table[few](p, 0, end_of_longer);
  table[few - 1](p, end_of_longer, p.rows);
}

template <class T, int Vectors, int... Index>
void packed_blocks(Product<T> p, const EvenRanges& rows, std::ptrdiff_t distance,
                   const T* next_panel, std::integer_sequence<int, Index...>) {
  static constexpr Run<T> table[] = {run<T, Index + 1, Layout<Vectors, true, Packed::b>>...};
  constexpr std::ptrdiff_t line = 64 / sizeof(T), lanes = Vectors * simd::lanes<T>;
  const std::ptrdiff_t lines =
      next_panel ? (p.depth * lanes / line + rows.count - 1) / rows.count : 0;
  for (std::ptrdiff_t i = 0; i < rows.count; ++i) {
    const std::ptrdiff_t size = rows.length(i);
    for (std::ptrdiff_t row = 0; row < size; ++row) {
      simd::prefetch_near(p.c + row * p.c_row);
      simd::prefetch_near(p.c + row * p.c_row + lanes - 1);
    }
    for (std::ptrdiff_t j = 0; j < lines; ++j, next_panel += line) simd::prefetch(next_panel);
    table[size - 1](p, 0, size);
    p.a += distance;
    p.c += size * p.c_row;
  }
}

template <class T, int Vectors, bool ContiguousRows>
void by_strides(const Product<T>& p) {
  constexpr auto rows = std::make_integer_sequence<int, max_rows_of<Vectors>>();
  if constexpr (Vectors <= max_vectors) {
    constexpr std::ptrdiff_t stride = Vectors * simd::lanes<T>;
    if (p.b_step == stride && p.c_row == stride) {
      return blocks<T, Layout<Vectors, ContiguousRows, Packed::b_and_c>>(p, rows);
    }
  }
  blocks<T, Layout<Vectors, ContiguousRows, Packed::none>>(p, rows);
}

template <class T, int Vectors>
void by_layout(const Product<T>& p) {
  if (p.a_row == 1) {
    by_strides<T, Vectors, true>(p);
  } else {
    by_strides<T, Vectors, false>(p);
  }
}

template <class T>
void by_vectors(const Product<T>& product) {
  static_assert(max_block_vectors <= 4);
  switch (product.vectors) {
    case 1:
      return by_layout<T, 1>(product);
    case 2:
      return by_layout<T, 2>(product);
    case 3:
      return by_layout<T, 3>(product);
    case 4:
      if constexpr (max_block_vectors >= 4) return by_layout<T, 4>(product);
  }
}

// Equal parts of the depth, each added to C: the rounding error of a sum grows with its length.
template <class T>
void by_parts(const Product<T>& whole) {
  const EvenRanges parts{whole.depth, (whole.depth + max_sum - 1) / max_sum};
  Product<T> part = whole;
  part.row_factors = nullptr, part.maximum = nullptr, part.prefetch = nullptr;
  for (std::ptrdiff_t i = 0; i < parts.count; ++i) {
    const std::ptrdiff_t begin = parts.begin(i);
    part.depth = parts.length(i);
    part.a = whole.a + begin * whole.a_step;
    part.b = whole.b + begin * whole.b_step;
    part.accumulate = i > 0 || whole.accumulate;
    if (i + 1 == parts.count) {
      part.row_factors = whole.row_factors;
      part.maximum = whole.maximum;
      part.prefetch = whole.prefetch;
    }
    by_vectors(part);
  }
}

}  // namespace

template <class T>
void multiply(const Product<T>& product) {
  if (product.depth <= max_sum) {
    by_vectors(product);
  } else {
    by_parts(product);
  }
}

template <class T>
void multiply_blocks(const Product<T>& product, const EvenRanges& blocks, std::ptrdiff_t distance,
                     const T* next_panel) {
  constexpr auto rows = std::make_integer_sequence<int, max_rows_of<max_vectors>>();
  switch (product.vectors) {
    case 1:
      return packed_blocks<T, 1>(product, blocks, distance, next_panel, rows);
    case 2:
      return packed_blocks<T, 2>(product, blocks, distance, next_panel, rows);
    case 3:
      return packed_blocks<T, 3>(product, blocks, distance, next_panel, rows);
  }
}

template <class T>
void multiply_wide(Product<T> product, std::ptrdiff_t columns) {
  const ColumnBlocks blocks(columns, simd::lanes<T>, max_block_vectors);
  const Product<T> whole = product;
  // each block of columns reads all rows of A: a part of them stays in L1
  constexpr std::ptrdiff_t part_rows = 48;
  for (std::ptrdiff_t row = 0; row < whole.rows; row += part_rows) {
    product.rows = std::min(part_rows, whole.rows - row);
    product.a = whole.a + row * whole.a_row;
    product.row_factors = whole.row_factors ? whole.row_factors + row : nullptr;
    for (std::ptrdiff_t block = 0; block < blocks.count(); ++block) {
      product.vectors = blocks.vectors(block);
      product.b = whole.b + blocks.begin(block);
      product.c = whole.c + row * whole.c_row + blocks.begin(block);
      multiply(product);
    }
  }
}

template void multiply(const Product<float>&);
template void multiply(const Product<double>&);
template void multiply_blocks(const Product<float>&, const EvenRanges&, std::ptrdiff_t,
                              const float*);
template void multiply_blocks(const Product<double>&, const EvenRanges&, std::ptrdiff_t,
                              const double*);
template void multiply_wide(Product<float>, std::ptrdiff_t);
template void multiply_wide(Product<double>, std::ptrdiff_t);

}  // namespace heedful
