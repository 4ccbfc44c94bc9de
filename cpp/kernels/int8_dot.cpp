#include "kernels/int8_dot.hpp"

#include <algorithm>

#include "simd/integer_dots.hpp"

namespace heedful {
namespace {

constexpr int width = simd::lanes<float>;
// Sums of a block, which leave registers for the weight and for q.
constexpr int block_sums = 2 * dot_block_rows;

inline simd::Words load_weight(const std::int8_t* from, std::uint8_t) {
  return simd::load_words(from);
}

inline simd::Words load_weight(const std::int8_t* from, std::int16_t) {
  return simd::load_int16(from);
}

inline simd::Words dot(std::uint8_t, const simd::Words& q, const simd::Words& weight,
                       const simd::Words& sum) {
  return simd::dot_uint8_int8(q, weight, sum);
}
inline simd::Words dot(std::int16_t, const simd::Words& q, const simd::Words& weight,
                       const simd::Words& sum) {
  return simd::dot_int16(q, weight, sum);
}

// The sums over the lanes of four vectors, in the first four lanes.
inline simd::Words sum_lanes(const simd::Words* vectors) {
  const simd::Words low = simd::add_halves<1>(vectors[0], vectors[1]);
  const simd::Words high = simd::add_halves<1>(vectors[2], vectors[3]);
  simd::Words sums = simd::add_halves<2>(low, high);  // lane i: of vector i mod 4
  if constexpr (width > 4) sums += simd::swap_halves<4>(sums);
  if constexpr (width > 8) sums += simd::swap_halves<8>(sums);
  return sums;
}

template <class Q, int Rows>
struct Block {
  // four outputs at least, so that their sums are stored together
  static constexpr int outputs = std::min(block_sums / Rows, 4);
  static constexpr int count = std::max(Rows * outputs, 4);

  static void run(const Int8Dots<Q>& dots, std::ptrdiff_t first_row, std::ptrdiff_t first_output) {
    const DotVectors& vectors = dots.vectors;
    const Q* const q = dots.q + first_row * vectors.size();
    const std::int8_t* weight[outputs];
    for (int i = 0; i < outputs; ++i) {
      // past the last one: that one again; its sum is discarded
      weight[i] = dots.weight.row(std::min(first_output + i, dots.count - 1));
    }
    const std::ptrdiff_t ahead = dots.prefetch_rows * dots.weight.stride;
    simd::Words sums[count];
#pragma GCC unroll 16
    for (int i = 0; i < count; ++i) sums[i] = simd::Words{};
    for (std::ptrdiff_t v = 0; v < vectors.count; ++v) {
      const std::ptrdiff_t offset = std::min(v * vectors.elements, vectors.last);
      simd::Words weights[outputs];
#pragma GCC unroll 16
      for (int i = 0; i < outputs; ++i) {
        simd::prefetch(weight[i] + offset + ahead);
        weights[i] = load_weight(weight[i] + offset, Q{});
      }
#pragma GCC unroll 16
      for (int row = 0; row < Rows; ++row) {
        const simd::Words values =
            simd::load_words(q + row * vectors.size() + v * vectors.elements);
#pragma GCC unroll 16
        for (int i = 0; i < outputs; ++i) {
          sums[row * outputs + i] = dot(Q{}, values, weights[i], sums[row * outputs + i]);
        }
      }
    }
    alignas(64) std::int32_t totals[count + width];
#pragma GCC unroll 16
    for (int i = 0; i < count; i += 4) simd::store_words(totals + i, sum_lanes(sums + i));
    const std::ptrdiff_t rows = std::min<std::ptrdiff_t>(Rows, dots.rows - first_row);
    const std::ptrdiff_t stored = std::min<std::ptrdiff_t>(outputs, dots.count - first_output);
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      std::copy_n(totals + row * outputs, stored,
                  dots.sums + (first_row + row) * dots.sum_stride + first_output);
    }
  }
};

template <class Q, int Rows>
void row_block(const Int8Dots<Q>& dots, std::ptrdiff_t first_row) {
  for (std::ptrdiff_t output = 0; output < dots.count; output += Block<Q, Rows>::outputs) {
    Block<Q, Rows>::run(dots, first_row, output);
  }
}

template <class Q>
void every_block(const Int8Dots<Q>& dots) {
  for (std::ptrdiff_t row = 0; row < dots.rows; row += dot_block_rows) {
    const std::ptrdiff_t rows = dots.rows - row;
    if (rows == 1) {
      row_block<Q, 1>(dots, row);
    } else if (rows == 2) {
      row_block<Q, 2>(dots, row);
    } else if (rows <= 4) {
      row_block<Q, 4>(dots, row);
    } else {
      row_block<Q, dot_block_rows>(dots, row);
    }
  }
}

}  // namespace

void dot_bytes(const Int8Dots<std::uint8_t>& dots) {
  if constexpr (simd::compiled_vnni) every_block(dots);
}

void dot_int16(const Int8Dots<std::int16_t>& dots) { every_block(dots); }

}  // namespace heedful
