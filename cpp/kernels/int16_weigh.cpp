#include "kernels/int16_weigh.hpp"

#include <cstring>
#include <utility>

#include "simd/int8_ways.hpp"
#include "simd/integer_dots.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t width = simd::lanes<float>;

// Two weights as a word in all lanes.
inline simd::Words broadcast_pair(std::int16_t first, std::int16_t second) {
  const std::int16_t pair[2] = {first, second};
  return simd::broadcast_word(pair);
}

// The sums of `Blocks` · interleaved_columns columns.
template <bool Vnni, int WeightRows, int Blocks, class Weighing>
inline void weigh_block(const Weighing& w, std::ptrdiff_t row, std::ptrdiff_t column) {
  simd::Words sums[WeightRows][2 * Blocks];
  std::int32_t* const first_sum = w.sums + row * w.columns + column;
#pragma GCC unroll 16
  for (int r = 0; r < WeightRows; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < 2 * Blocks; ++i) {
      sums[r][i] = simd::load_words(first_sum + r * w.columns + i * width);
    }
  }
  const std::int16_t* const weights = w.weights + row * w.weight_stride;
  const auto add_pair = [&](std::ptrdiff_t key, std::ptrdiff_t other, const auto& weight) {
    const std::int8_t* const first_row = w.values[key] + column;
    const std::int8_t* const second_row = w.values[other] + column;
#pragma GCC unroll 16
    for (int block = 0; block < Blocks; ++block) {
      const std::ptrdiff_t at = block * interleaved_columns;
      w.prefetch.template line<std::int8_t>(key, column + at);
      w.prefetch.template line<std::int8_t>(other, column + at);
      const simd::Words first = simd::load_int16(first_row + at);
      const simd::Words second = simd::load_int16(second_row + at);
      const simd::Words low = simd::zip_int16_low(first, second);
      const simd::Words high = simd::zip_int16_high(first, second);
#pragma GCC unroll 16
      for (int r = 0; r < WeightRows; ++r) {
        sums[r][2 * block] = simd::dot_int16<Vnni>(weight[r], low, sums[r][2 * block]);
        sums[r][2 * block + 1] = simd::dot_int16<Vnni>(weight[r], high, sums[r][2 * block + 1]);
      }
    }
  };
  std::ptrdiff_t key = 0;
  simd::Words weight[WeightRows];
  for (; key + 2 <= w.keys; key += 2) {
#pragma GCC unroll 16
    for (int r = 0; r < WeightRows; ++r) {
      weight[r] = simd::broadcast_word(weights + r * w.weight_stride + key);
    }
    add_pair(key, key + 1, weight);
  }
  if (key < w.keys) {
#pragma GCC unroll 16
    for (int r = 0; r < WeightRows; ++r) {
      weight[r] = broadcast_pair(weights[r * w.weight_stride + key], 0);
    }
    add_pair(key, key, weight);
  }
#pragma GCC unroll 16
  for (int r = 0; r < WeightRows; ++r) {
#pragma GCC unroll 16
    for (int i = 0; i < 2 * Blocks; ++i) {
      simd::store_words(first_sum + r * w.columns + i * width, sums[r][i]);
    }
  }
}

template <bool Vnni, int WeightRows, class Weighing>
inline void weigh_rows(const Weighing& w, std::ptrdiff_t row) {
  // half of the registers are accumulators
  constexpr int blocks = simd::registers >= 32 ? 2 : 1;
  std::ptrdiff_t column = 0;
  for (; column + blocks * interleaved_columns <= w.columns;
       column += blocks * interleaved_columns) {
    weigh_block<Vnni, WeightRows, blocks>(w, row, column);
  }
  for (; column < w.columns; column += interleaved_columns) {
    weigh_block<Vnni, WeightRows, 1>(w, row, column);
  }
}

template <bool Vnni, class Weighing>
void weigh_every_row(const Weighing& w) {
  std::ptrdiff_t row = 0;
  for (; row + 4 <= w.rows; row += 4) weigh_rows<Vnni, 4>(w, row);
  switch (w.rows - row) {
    case 3:
      return weigh_rows<Vnni, 3>(w, row);
    case 2:
      return weigh_rows<Vnni, 2>(w, row);
    case 1:
      return weigh_rows<Vnni, 1>(w, row);
  }
}

template <class Weighing>
void weigh_fastest(const Weighing& weighing) {
  if (simd::int8_ways().rows == simd::Int8Way::vnni) {
    weigh_every_row<true>(weighing);
  } else {
    weigh_every_row<false>(weighing);
  }
}

}  // namespace

void weigh_int16(const Int16Weighing<Rows<std::int8_t>, LinePrefetch>& weighing) {
  weigh_fastest(weighing);
}

void weigh_int16(const Int16Weighing<RowList<std::int8_t>, ListPrefetch>& weighing) {
  weigh_fastest(weighing);
}

void add_int16_sums(const std::int32_t* sums, std::ptrdiff_t columns, float scale, float* outs) {
  const auto factor = simd::broadcast(scale);
  for (std::ptrdiff_t column = 0; column < columns; column += interleaved_columns) {
    const auto low = simd::to_float(simd::load_words(sums + column));
    const auto high = simd::to_float(simd::load_words(sums + column + width));
    const auto add = [&](std::ptrdiff_t at, const simd::Packet<float>& sum) {
      simd::store(outs + at, simd::multiply_add(sum, factor, simd::load(outs + at)));
    };
    add(column, simd::zip_fours_low(low, high));
    add(column + width, simd::zip_fours_high(low, high));
  }
}

}  // namespace heedful
