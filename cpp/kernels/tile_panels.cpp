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
  simd::HalfBits bits{};
  if (row) std::memcpy(&bits, row, sizeof(bits));
  return __builtin_convertvector(bits, simd::Words);
}

// A square of words, two rows each, to as many columns.   even, odd (width): null where missing
void transpose_square(const char* const* even, const char* const* odd, std::ptrdiff_t offset,
                      std::uint16_t* to, std::ptrdiff_t stride) {
  simd::Square<float> square;
#pragma GCC unroll 16
  for (std::ptrdiff_t i = 0; i < width; ++i) {
    const simd::Words words = words_of(even[i] ? even[i] + offset : nullptr) |
                              words_of(odd[i] ? odd[i] + offset : nullptr) << 16;
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
  const std::ptrdiff_t stride = tile_depth * tile_blocks(columns);
  for (std::ptrdiff_t row = 0; row < count; ++row) {
    std::uint16_t* const to = buffer + row * stride;
    copy_row(view.row(item, head, first + row), view.column_stride, to, columns);
    std::fill(to + columns, to + stride, std::uint16_t{0});
  }
  return {buffer, stride};
}

void transpose_tile_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                         std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t columns,
                         std::ptrdiff_t before, std::uint16_t* to, std::ptrdiff_t stride) {
  const bool by_squares = view.column_stride == 2 && columns >= width;
  for (std::ptrdiff_t begin = 0; begin < stride; begin += 2 * width) {
    const char *even[width], *odd[width];
    for (std::ptrdiff_t i = 0; i < 2 * width; ++i) {
      const std::ptrdiff_t row = begin + i - before;
      const bool exists = row >= 0 && row < count;
      (i % 2 == 0 ? even : odd)[i / 2] = exists ? view.row(item, head, first + row) : nullptr;
    }
    for (std::ptrdiff_t column = 0; by_squares && column < columns; column += width) {
      // the last square overlaps the one before
      const std::ptrdiff_t at = std::min(column, columns - width);
      transpose_square(even, odd, 2 * at, to + at * stride + begin, stride);
    }
    for (std::ptrdiff_t column = 0; !by_squares && column < columns; ++column) {
      for (std::ptrdiff_t i = 0; i < 2 * width; ++i) {
        const char* const row = (i % 2 == 0 ? even : odd)[i / 2];
        std::uint16_t bits = 0;
        if (row) std::memcpy(&bits, row + column * view.column_stride, sizeof(bits));
        to[column * stride + begin + i] = bits;
      }
    }
  }
}

}  // namespace heedful
