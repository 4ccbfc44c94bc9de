#include "kernels/bfloat16_kernel.hpp"

#include "simd/bfloat16_pairs.hpp"

#if HEEDFUL_BFLOAT16_PAIRS

#include <limits>
#include <utility>

#include "kernels/column_blocks.hpp"
#include "kernels/micro_kernel.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

using P = simd::Packet<float>;
constexpr int width = simd::lanes<float>;
// As in micro_kernel.cpp: as many as leave registers for the operands.
template <int Vectors>
inline constexpr int max_rows = Vectors > max_vectors ? 6 : 8;

template <int Rows, int Vectors, bool ContiguousRows>
HEEDFUL_PAIRS_TARGET void block(const PairProduct& p, std::ptrdiff_t first_row) {
  const std::ptrdiff_t row_stride = ContiguousRows ? 2 : p.a_row;
  const std::ptrdiff_t step = ContiguousRows ? p.a_step : 2;
  const std::uint16_t* a = p.a + first_row * row_stride;
  const std::uint32_t* b = p.b;
  P sums[Rows][Vectors];
#pragma GCC unroll 32
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) sums[r][v] = simd::broadcast(0.0f);
  }
#pragma GCC unroll 4
  for (std::ptrdiff_t k = 0; k < p.pairs; ++k) {
    simd::Words columns[Vectors];
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) columns[v] = simd::load_words(b + v * width);
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r) {
      const simd::Words word = simd::broadcast_word(a + r * row_stride);
#pragma GCC unroll 32
      for (int v = 0; v < Vectors; ++v) {
        sums[r][v] = simd::dot_pairs(word, columns[v], sums[r][v]);
      }
    }
    a += step;
    b += p.b_step;
  }
  float* const c = p.c + first_row * p.c_row;
  if constexpr (ContiguousRows) {
    if (p.row_factors) {
#pragma GCC unroll 32
      for (int r = 0; r < Rows; ++r) {
        const P factor = simd::broadcast(p.row_factors[first_row + r]);
#pragma GCC unroll 32
        for (int v = 0; v < Vectors; ++v) sums[r][v] = simd::multiply(sums[r][v], factor);
      }
    }
  }
  if (p.accumulate) {
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 32
      for (int v = 0; v < Vectors; ++v) {
        float* const to = c + r * p.c_row + v * width;
        simd::store(to, simd::add(simd::load(to), sums[r][v]));
      }
    }
    return;
  }
  if (p.factor != 1) {
    const P factor = simd::broadcast(p.factor);
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 32
      for (int v = 0; v < Vectors; ++v) sums[r][v] = simd::multiply(sums[r][v], factor);
    }
  }
#pragma GCC unroll 32
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) simd::store(c + r * p.c_row + v * width, sums[r][v]);
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

using Block = void (*)(const PairProduct&, std::ptrdiff_t);

template <int Vectors, bool ContiguousRows, int... Index>
void blocks(const PairProduct& p, std::integer_sequence<int, Index...>) {
  static constexpr Block table[] = {block<Index + 1, Vectors, ContiguousRows>...};
  // rows are split evenly, because a block of one row would stall on its loads
  constexpr std::ptrdiff_t max_block_rows = sizeof...(Index);
  const std::ptrdiff_t count = (p.rows + max_block_rows - 1) / max_block_rows;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const std::ptrdiff_t begin = p.rows * i / count;
    const std::ptrdiff_t end = p.rows * (i + 1) / count;
    table[end - begin - 1](p, begin);
    if (p.prefetch) p.prefetch->next();
  }
}

template <int Vectors>
void by_layout(const PairProduct& p) {
  constexpr auto rows = std::make_integer_sequence<int, max_rows<Vectors>>();
  if (p.a_row == 2) {
    blocks<Vectors, true>(p, rows);
  } else if constexpr (Vectors <= max_vectors) {
    blocks<Vectors, false>(p, rows);
  }
}

}  // namespace

void multiply(const PairProduct& product) {
  static_assert(max_vectors == 3 && max_block_vectors <= 4);
  switch (product.vectors) {
    case 1:
      return by_layout<1>(product);
    case 2:
      return by_layout<2>(product);
    case 3:
      return by_layout<3>(product);
    case 4:
      return by_layout<4>(product);
  }
}

void multiply_wide(PairProduct product, std::ptrdiff_t columns) {
  const ColumnBlocks blocks(columns, width, max_block_vectors);
  const std::uint32_t* const b = product.b;
  float* const c = product.c;
  for (std::ptrdiff_t block = 0; block < blocks.count(); ++block) {
    product.vectors = blocks.vectors(block);
    product.b = b + blocks.begin(block);
    product.c = c + blocks.begin(block);
    multiply(product);
  }
}

HEEDFUL_PAIRS_TARGET void multiply_seen(const PairProduct& p, const std::uint32_t* seen) {
  for (std::ptrdiff_t row = 0; row < p.rows; ++row) {
    for (int lane = 0; lane < p.vectors * width; lane += width) {
      P total = simd::broadcast(0.0f);
      for (std::ptrdiff_t k = 0; k < p.pairs; ++k) {
        const simd::Words element = simd::broadcast_word(p.a + row * p.a_row + k * p.a_step);
        const simd::Words word = simd::load_words(p.b + k * p.b_step + lane);
        const simd::Words mask = simd::load_words(seen + k * p.vectors * width + lane);
        total = simd::dot_pairs(element & mask, word, total);
      }
      float* const to = p.c + row * p.c_row + lane;
      simd::store(to, simd::add(simd::load(to), total));
    }
  }
}

const std::uint32_t* pair_seen(const float* scores, std::ptrdiff_t keys, int lanes, bool begins_odd,
                               std::uint32_t* words) {
  const P minus_infinity = simd::broadcast(-std::numeric_limits<float>::infinity());
  const std::ptrdiff_t first = begins_odd ? -1 : 0;
  std::uint32_t* to = words;
  for (std::ptrdiff_t key = first; key < keys; key += 2, to += lanes) {
    const float* const from = scores + key * lanes;
    const bool even = key >= 0, odd = key + 1 < keys;
    for (int lane = 0; lane < lanes; lane += width) {
      const auto hidden = [&](bool exists, const float* score) {
        const P s = exists ? simd::load(score) : minus_infinity;
        return simd::bits_as<simd::Words>(simd::equal(s, minus_infinity));
      };
      simd::store_words(to + lane, (~hidden(even, from + lane) & 0xFFFFu) |
                                       (~hidden(odd, from + lanes + lane) & 0xFFFF0000u));
    }
  }
  return words;
}

}  // namespace heedful

#endif
