#include "kernels/nonfinite.hpp"

namespace heedful {

template <class T>
bool all_finite(Rows<T> rows, std::ptrdiff_t count, std::ptrdiff_t columns) {
  using P = simd::Packet<T>;
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  if (rows.stride == columns) columns *= count, count = columns > 0;  // contiguous: one long row
  const P zero = simd::broadcast(T{0});
  // x · 0 is 0 for every finite x, NaN for the others
  P totals[4] = {zero, zero, zero, zero};
  T remainder = 0;
  for (std::ptrdiff_t row = 0; row < count; ++row) {
    const T* const from = rows.data + row * rows.stride;
    std::ptrdiff_t column = 0;
    for (; column + 4 * width <= columns; column += 4 * width) {
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        totals[i] = simd::multiply_add(simd::load(from + column + i * width), zero, totals[i]);
      }
    }
    for (; column + width <= columns; column += width) {
      totals[0] = simd::multiply_add(simd::load(from + column), zero, totals[0]);
    }
    if (column < columns && columns >= width) {  // the last vector overlaps the one before
      totals[1] = simd::multiply_add(simd::load(from + columns - width), zero, totals[1]);
    } else {
      for (; column < columns; ++column) remainder += from[column] * T{0};
    }
  }
  return simd::sum(simd::add(simd::add(totals[0], totals[1]), simd::add(totals[2], totals[3]))) +
             remainder ==
         0;
}

bool all_finite(Rows<std::uint16_t> rows, std::ptrdiff_t count, std::ptrdiff_t columns,
                std::uint16_t exponent) {
  std::uint16_t found = 0;
  for (std::ptrdiff_t row = 0; row < count; ++row) {
    const std::uint16_t* const from = rows.data + row * rows.stride;
    for (std::ptrdiff_t column = 0; column < columns; ++column) {
      found |= static_cast<std::uint16_t>((from[column] & exponent) == exponent ? 1 : 0);
    }
  }
  return found == 0;
}

bool all_finite(const std::uint32_t* words, std::ptrdiff_t count) {
  std::uint32_t nonfinite = 0;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    nonfinite |=
        (words[i] & 0x7F80u) == 0x7F80u || (words[i] & 0x7F800000u) == 0x7F800000u ? 1u : 0u;
  }
  return nonfinite == 0;
}

template bool all_finite(Rows<float>, std::ptrdiff_t, std::ptrdiff_t);
template bool all_finite(Rows<double>, std::ptrdiff_t, std::ptrdiff_t);

}  // namespace heedful
