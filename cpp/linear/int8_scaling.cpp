#include "linear/int8_scaling.hpp"

#include <algorithm>

#include "simd/integer_dots.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t width = simd::lanes<float>;
typedef float Floats __attribute__((vector_size(4 * width)));

simd::Integers load_integers(const std::int32_t* from) {
  return simd::bits_as<simd::Integers>(simd::load_words(from));
}

}  // namespace

void scale_row(const std::int32_t* sums, std::ptrdiff_t count, const Int8Outputs& outputs,
               std::int32_t zero, float x_scale, float* values) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const std::int32_t sum = sums[i] - zero * outputs.weight_sums[i];
    values[i] = static_cast<float>(sum) * outputs.scales[i] * x_scale;
  }
}

void scale_panel(const std::int32_t* sums, std::ptrdiff_t lanes, std::ptrdiff_t count,
                 const Int8Outputs& outputs, const std::int32_t* zeros, const float* x_scales,
                 const float* bias, float* const* rows) {
  if (count < width) {
    for (std::ptrdiff_t lane = 0; lane < lanes; ++lane) {
      for (std::ptrdiff_t i = 0; i < count; ++i) {
        scale_row(sums + i * lanes + lane, 1, outputs.from(i), zeros[lane], x_scales[lane],
                  rows[lane] + i);
      }
    }
    return;
  }
  for (std::ptrdiff_t lane = 0; lane < lanes; lane += width) {
    const auto zero = load_integers(zeros + lane);
    const auto x_scale = simd::load(x_scales + lane);
    for (std::ptrdiff_t next = 0; next < count; next += width) {
      const std::ptrdiff_t first = std::min(next, count - width);  // the last square overlaps
      simd::Square<float> square;
#pragma GCC unroll 16
      for (std::ptrdiff_t i = 0; i < width; ++i) {
        const auto sum = load_integers(sums + (first + i) * lanes + lane) -
                         zero * outputs.weight_sums[first + i];
        const auto value = simd::bits_as<simd::Packet<float>>(__builtin_convertvector(sum, Floats));
        square.packet[i] = simd::multiply(
            simd::multiply(value, simd::broadcast(outputs.scales[first + i])), x_scale);
      }
      simd::transpose<float>(square);
      // past the transposition no compiler contracts the products and this sum
      const auto added = bias ? simd::load(bias + first) : simd::broadcast(0.0f);
#pragma GCC unroll 16
      for (std::ptrdiff_t i = 0; i < width; ++i) {
        const auto value = bias ? simd::add(square.packet[i], added) : square.packet[i];
        simd::store(rows[lane + i] + first, value);
      }
    }
  }
}

}  // namespace heedful
