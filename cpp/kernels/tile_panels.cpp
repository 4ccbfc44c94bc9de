#include "kernels/tile_panels.hpp"

#include <algorithm>
#include <cstring>

#include "simd/bfloat16_pairs.hpp"
#include "simd/half.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t width = simd::lanes<float>;

void copy_row(const char* from, std::ptrdiff_t stride, std::uint16_t* to, std::ptrdiff_t count) {
  if (stride == 2) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * 2);
    return;
  }
  for (std::ptrdiff_t i = 0; i < count; ++i) std::memcpy(to + i, from + i * stride, 2);
}

simd::Words words_of(const char* row) {
  simd::HalfBits bits;
  std::memcpy(&bits, row, sizeof(bits));
  return __builtin_convertvector(bits, simd::Words);
}

// 2 · width rows from `row` in `width` columns, to as many rows of words. Of rows that are not
// [0, count) zeros, if they are not `All` there. row_at(i) is the address of row i.
template <bool All, class RowAt>
void transpose_square(const RowAt& row_at, std::ptrdiff_t row, std::ptrdiff_t count,
                      std::uint16_t* to, std::ptrdiff_t stride) {
  const auto words_at = [&](std::ptrdiff_t at) {
    const bool exists = All || (at >= 0 && at < count);
    return exists ? words_of(row_at(at)) : simd::Words{};
  };
  simd::Square<float> square;
#pragma GCC unroll 16
  for (std::ptrdiff_t i = 0; i < width; ++i) {
    const simd::Words words = words_at(row + 2 * i) | words_at(row + 2 * i + 1) << 16;
    square.packet[i] = simd::bits_as<simd::Packet<float>>(words);  // moved like floats
  }
  simd::transpose<float>(square);
#pragma GCC unroll 16
  for (std::ptrdiff_t i = 0; i < width; ++i) {
    std::memcpy(to + i * stride, &square.packet[i], sizeof(square.packet[i]));
  }
}

}  // namespace

Rows<std::uint16_t> load_tile_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                                   std::ptrdiff_t first, std::ptrdiff_t count,
                                   std::ptrdiff_t columns, std::uint16_t* buffer) {
  if (holds_tile_rows(view, columns)) {
    return {reinterpret_cast<const std::uint16_t*>(view.row(item, head, first)),
            view.row_stride / 2};
  }
  copy_tile_rows(view, item, head, first, count, columns, count, buffer);
  return {buffer, tile_depth * tile_blocks(columns)};
}

void copy_tile_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                    std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t columns,
                    std::ptrdiff_t padded_count, std::uint16_t* to) {
  const std::ptrdiff_t stride = tile_depth * tile_blocks(columns);
  for (std::ptrdiff_t row = 0; row < count; ++row, to += stride) {
    copy_row(view.row(item, head, first + row), view.column_stride, to, columns);
    std::fill(to + columns, to + stride, std::uint16_t{0});
  }
  std::fill_n(to, (padded_count - count) * stride, std::uint16_t{0});
}

void pair_tile_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                    std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t first_column,
                    std::ptrdiff_t columns, std::uint32_t* to, std::ptrdiff_t stride) {
  const std::ptrdiff_t step = view.column_stride;
  for (std::ptrdiff_t row = 0; row < count; row += 2, to += stride) {
    const char* const even = view.row(item, head, first + row) + first_column * step;
    const char* const odd = row + 1 < count ? even + view.row_stride : nullptr;
    std::ptrdiff_t column = 0;
    for (; step == 2 && column + width <= columns; column += width) {
      const simd::Words high = odd ? words_of(odd + 2 * column) << 16 : simd::Words{};
      simd::store_words(to + column, words_of(even + 2 * column) | high);
    }
    for (; column < columns; ++column) {
      std::uint16_t halves[2] = {0, 0};
      std::memcpy(halves, even + column * step, 2);
      if (odd) std::memcpy(halves + 1, odd + column * step, 2);
      to[column] = halves[0] | static_cast<std::uint32_t>(halves[1]) << 16;
    }
  }
}

void transpose_tile_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                         std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t columns,
                         std::ptrdiff_t before, std::uint16_t* to, std::ptrdiff_t stride) {
  const char* const rows = view.row(item, head, first);
  const std::ptrdiff_t padded_rows = tile_depth * tile_blocks(before + count);
  if (view.column_stride != 2 || columns < width) {
    for (std::ptrdiff_t column = 0; column < columns; ++column) {
      std::fill_n(to + column * stride, padded_rows, std::uint16_t{0});
    }
    for (std::ptrdiff_t row = 0; row < count; ++row) {
      const char* const from = view.row(item, head, first + row);
      for (std::ptrdiff_t column = 0; column < columns; ++column) {
        std::memcpy(to + column * stride + before + row, from + column * view.column_stride,
                    sizeof(*to));
      }
    }
    return;
  }
  for (std::ptrdiff_t begin = 0; begin < padded_rows; begin += 2 * width) {
    const std::ptrdiff_t row = begin - before;
    const bool all = row >= 0 && row + 2 * width <= count;
    for (std::ptrdiff_t column = 0; column < columns; column += width) {
      // the last square overlaps the one before
      const std::ptrdiff_t at = std::min(column, columns - width);
      const auto transpose = [&](const auto& row_at) {
        std::uint16_t* const square = to + at * stride + begin;
        if (all) {
          transpose_square<true>(row_at, row, count, square, stride);
        } else {
          transpose_square<false>(row_at, row, count, square, stride);
        }
      };
      if (view.pages) {
        transpose([&](std::ptrdiff_t i) { return view.row(item, head, first + i) + 2 * at; });
      } else {
        transpose([&](std::ptrdiff_t i) { return rows + i * view.row_stride + 2 * at; });
      }
    }
  }
}

}  // namespace heedful
