#include "arrays/panel_transposes.hpp"

#include <type_traits>

#include "simd/half.hpp"
#include "simd/packet.hpp"

namespace heedful {

template <class T, class Stored>
void rows_to_panel(const Stored* const* rows, std::ptrdiff_t lanes, std::ptrdiff_t columns,
                   T factor, T* panel) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  for (std::ptrdiff_t lane = 0; lane < lanes; lane += width) {
    if constexpr (std::is_same_v<T, Stored>) {
      if (columns < width) {
        for (std::ptrdiff_t l = lane; l < lane + width; ++l) {
          for (std::ptrdiff_t c = 0; c < columns; ++c) panel[c * lanes + l] = rows[l][c] * factor;
        }
        continue;
      }
    }
    for (std::ptrdiff_t column = 0; column < columns; column += width) {
      // the last square overlaps the one before
      const std::ptrdiff_t begin = column + width <= columns ? column : columns - width;
      simd::Square<T> square;
#pragma GCC unroll 16
      for (std::ptrdiff_t i = 0; i < width; ++i) {
        square.packet[i] = simd::load(rows[lane + i] + begin);
      }
      simd::transpose<T>(square);
#pragma GCC unroll 16
      for (std::ptrdiff_t i = 0; i < width; ++i) {
        simd::store(panel + (begin + i) * lanes + lane,
                    simd::multiply(square.packet[i], simd::broadcast(factor)));
      }
    }
  }
}

template <class T>
void panel_to_rows(const T* panel, std::ptrdiff_t lanes, std::ptrdiff_t columns, const T* factors,
                   T* const* rows) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  for (std::ptrdiff_t lane = 0; lane < lanes; lane += width) {
    if (columns < width) {
      for (std::ptrdiff_t l = lane; l < lane + width; ++l) {
        for (std::ptrdiff_t c = 0; c < columns; ++c) rows[l][c] = panel[c * lanes + l] * factors[l];
      }
      continue;
    }
    const simd::Packet<T> factor = simd::load(factors + lane);
    for (std::ptrdiff_t column = 0; column < columns; column += width) {
      const std::ptrdiff_t begin = column + width <= columns ? column : columns - width;
      simd::Square<T> square;
#pragma GCC unroll 16
      for (std::ptrdiff_t i = 0; i < width; ++i) {
        square.packet[i] = simd::multiply(simd::load(panel + (begin + i) * lanes + lane), factor);
      }
      simd::transpose<T>(square);
#pragma GCC unroll 16
      for (std::ptrdiff_t i = 0; i < width; ++i) {
        simd::store(rows[lane + i] + begin, square.packet[i]);
      }
    }
  }
}

template <class T>
void add_panel_to_rows(const T* panel, std::ptrdiff_t lanes, std::ptrdiff_t columns,
                       const T* factors, T* const* rows) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  const std::ptrdiff_t whole = columns / width * width;
  for (std::ptrdiff_t lane = 0; lane < lanes; lane += width) {
    const simd::Packet<T> factor = simd::load(factors + lane);
    for (std::ptrdiff_t column = 0; column < whole; column += width) {
      simd::Square<T> square;
#pragma GCC unroll 16
      for (std::ptrdiff_t i = 0; i < width; ++i) {
        square.packet[i] = simd::multiply(simd::load(panel + (column + i) * lanes + lane), factor);
      }
      simd::transpose<T>(square);
#pragma GCC unroll 16
      for (std::ptrdiff_t i = 0; i < width; ++i) {
        T* const to = rows[lane + i] + column;
        simd::store(to, simd::add(simd::load(to), square.packet[i]));
      }
    }
    for (std::ptrdiff_t l = lane; l < lane + width; ++l) {
      for (std::ptrdiff_t c = whole; c < columns; ++c) {
        rows[l][c] += panel[c * lanes + l] * factors[l];
      }
    }
  }
}

template void rows_to_panel(const float* const*, std::ptrdiff_t, std::ptrdiff_t, float, float*);
template void rows_to_panel(const simd::Bfloat16* const*, std::ptrdiff_t, std::ptrdiff_t, float,
                            float*);
template void rows_to_panel(const double* const*, std::ptrdiff_t, std::ptrdiff_t, double, double*);
template void panel_to_rows(const float*, std::ptrdiff_t, std::ptrdiff_t, const float*,
                            float* const*);
template void panel_to_rows(const double*, std::ptrdiff_t, std::ptrdiff_t, const double*,
                            double* const*);
template void add_panel_to_rows(const float*, std::ptrdiff_t, std::ptrdiff_t, const float*,
                                float* const*);
template void add_panel_to_rows(const double*, std::ptrdiff_t, std::ptrdiff_t, const double*,
                                double* const*);

}  // namespace heedful
