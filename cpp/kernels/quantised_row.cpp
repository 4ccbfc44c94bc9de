#include "kernels/quantised_row.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "arrays/row_loop.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

constexpr int width = simd::lanes<float>;
constexpr float max_q = 255;

constexpr int chunk = 4 * width;  // bytes of a vector

// A chunk of q. The compiler packs vectors of integers in such a loop, and nowhere else.
template <class Integer>
void quantise_chunk(const float* x, const RowRange& range, Integer* q) {
  typedef float Floats __attribute__((vector_size(4 * width)));
  typedef std::int32_t Integers __attribute__((vector_size(4 * width)));
  const auto inverse = simd::broadcast(range.inverse);
  const auto zero = simd::broadcast(static_cast<float>(range.zero));
  alignas(64) std::int32_t integers[chunk];
#pragma GCC unroll 4
  for (int i = 0; i < chunk; i += width) {
    const auto steps = simd::round_even(simd::multiply(simd::load(x + i), inverse));
    const auto value = simd::minimum(simd::add(steps, zero), simd::broadcast(max_q));
    const auto converted = __builtin_convertvector(simd::bits_as<Floats>(value), Integers);
    std::memcpy(integers + i, &converted, sizeof(converted));
  }
  for (int i = 0; i < chunk; ++i) q[i] = static_cast<Integer>(integers[i]);
}

}  // namespace

RowRange RowRange::of(const float* x, std::ptrdiff_t count) {
  auto lows = simd::broadcast(0.0f), highs = lows, zeros = lows;
  const auto nothing = lows;
  std::ptrdiff_t i = 0;
  for (; i + width <= count; i += width) {
    const auto values = simd::load(x + i);
    lows = simd::minimum(lows, values);
    highs = simd::maximum(highs, values);
    zeros = simd::add(zeros, simd::multiply(values, nothing));  // NaN where a value is not finite
  }
  float low = simd::min_lane(lows), high = simd::max_lane(highs), zero = simd::sum(zeros);
  for (; i < count; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
    zero += 0 * x[i];
  }
  if (std::isnan(zero)) return {std::numeric_limits<float>::quiet_NaN(), 0, 0};
  // divided first: the difference may be larger than the largest float. The smallest normal number
  // is enough for rows of zeros and of subnormal numbers.
  const float scale = std::max(high / max_q - low / max_q, std::numeric_limits<float>::min());
  const float inverse = 1 / scale;
  return {scale, inverse, -static_cast<std::int32_t>(std::nearbyint(low * inverse))};
}

template <class Integer>
void quantise(const float* x, std::ptrdiff_t count, const RowRange& range, Integer* q) {
  if (range.inverse == 0) {
    std::fill_n(q, count, Integer{0});
    return;
  }
  std::ptrdiff_t i = 0;
  for (; i + chunk <= count; i += chunk) quantise_chunk(x + i, range, q + i);
  if (i == count) return;
  float tail[chunk] = {};
  Integer quantised[chunk];
  std::copy_n(x + i, count - i, tail);
  quantise_chunk(tail, range, quantised);
  std::copy_n(quantised, count - i, q + i);
}

template void quantise(const float*, std::ptrdiff_t, const RowRange&, std::uint8_t*);
template void quantise(const float*, std::ptrdiff_t, const RowRange&, std::int16_t*);

}  // namespace heedful
