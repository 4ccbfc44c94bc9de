#include "kernels/bfloat16_panels.hpp"

#include <cstring>

namespace heedful {
namespace {

std::uint16_t bits_at(const char* address) {
  std::uint16_t bits;
  std::memcpy(&bits, address, sizeof(bits));
  return bits;
}

void copy_row(const char* from, std::ptrdiff_t stride, std::uint16_t* to, std::ptrdiff_t count) {
  for (std::ptrdiff_t i = 0; i < count; ++i) to[i] = bits_at(from + i * stride);
}

// words[i] = an element of even and one of odd; without odd, zeros in its place.
void interleave(const char* even, const char* odd, std::ptrdiff_t stride, std::uint32_t* words,
                std::ptrdiff_t count) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const std::uint32_t high = odd ? bits_at(odd + i * stride) : 0u;
    words[i] = bits_at(even + i * stride) | high << 16;
  }
}

}  // namespace

Rows<std::uint16_t> load_paired_columns(const TensorView& view, std::ptrdiff_t item,
                                        std::ptrdiff_t head, std::ptrdiff_t first,
                                        std::ptrdiff_t count, std::ptrdiff_t columns,
                                        std::uint16_t* buffer) {
  if (holds_pairs(view, columns)) {
    return {reinterpret_cast<const std::uint16_t*>(view.row(item, head, first)),
            view.row_stride / 2};
  }
  const std::ptrdiff_t stride = 2 * pairs_of(columns);
  for (std::ptrdiff_t row = 0; row < count; ++row) {
    std::uint16_t* const to = buffer + row * stride;
    if (columns % 2 != 0) to[columns] = 0;
    copy_row(view.row(item, head, first + row), view.column_stride, to, columns);
  }
  return {buffer, stride};
}

void load_paired_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                      std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t columns,
                      std::uint32_t* words) {
  for (std::ptrdiff_t row = 0; row < count; row += 2, words += columns) {
    const char* const even = view.row(item, head, first + row);
    const char* const odd = row + 1 < count ? view.row(item, head, first + row + 1) : nullptr;
    if (odd && view.column_stride == 2) {
      interleave(even, odd, 2, words, columns);  // a constant stride, so it is vectorized
    } else {
      interleave(even, odd, view.column_stride, words, columns);
    }
  }
}

}  // namespace heedful
