#include "kernels/rounded_weights.hpp"

#include "kernels/micro_kernel.hpp"
#include "simd/bfloat16_pairs.hpp"
#include "simd/half.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

using P = simd::Packet<float>;
constexpr int width = simd::lanes<float>;

// Floats rounded to the nearest bfloat16, ties to even: their bits as floats.
inline simd::Words rounded(const P& values) {
  simd::HalfBits halves;
  simd::store(reinterpret_cast<simd::Bfloat16*>(&halves), values);
  return __builtin_convertvector(halves, simd::Words) << 16;
}

template <int Vectors>
std::ptrdiff_t pair_by_bits(const float* weights, std::ptrdiff_t keys, bool begins_odd,
                            std::uint32_t* words, float* sums) {
  constexpr int lanes = Vectors * width;
  const P zero = simd::broadcast(0.0f);
  std::ptrdiff_t pairs = 0;
  P totals[Vectors];
  for (P& total : totals) total = zero;
  for (std::ptrdiff_t key = begins_odd ? -1 : 0; key < keys; key += 2, ++pairs) {
    const float* const from = weights + key * lanes;
    const bool has_even = key >= 0, has_odd = key + 1 < keys;
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const simd::Words even = rounded(has_even ? simd::load(from + v * width) : zero);
      const simd::Words odd = rounded(has_odd ? simd::load(from + lanes + v * width) : zero);
      simd::store_words(words + pairs * lanes + v * width, even >> 16 | odd);
      totals[v] = simd::add(totals[v], simd::bits_as<P>(even));
      totals[v] = simd::add(totals[v], simd::bits_as<P>(odd));
    }
  }
  for (int v = 0; v < Vectors; ++v) {
    simd::store(sums + v * width, simd::add(simd::load(sums + v * width), totals[v]));
  }
  return pairs;
}

#if HEEDFUL_BFLOAT16_PAIRS

template <int Vectors>
HEEDFUL_PAIRS_TARGET std::ptrdiff_t pair_by_instruction(const float* weights, std::ptrdiff_t keys,
                                                        bool begins_odd, std::uint32_t* words,
                                                        float* sums) {
  constexpr int lanes = Vectors * width;
  const P zero = simd::broadcast(0.0f);
  const simd::Words ones = simd::Words{} + 0x3F803F80u;
  P totals[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) totals[v] = zero;
  const std::ptrdiff_t first = begins_odd ? -1 : 0;
  std::ptrdiff_t pairs = 0;
  for (std::ptrdiff_t key = first; key < keys; key += 2, ++pairs) {
    const float* const from = weights + key * lanes;
    std::uint32_t* const to = words + pairs * lanes;
    const bool even = key >= 0, odd = key + 1 < keys;
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      const simd::Words pair = simd::paired(even ? simd::load(from + v * width) : zero,
                                            odd ? simd::load(from + lanes + v * width) : zero);
      simd::store_words(to + v * width, pair);
      totals[v] = simd::dot_pairs(pair, ones, totals[v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    simd::store(sums + v * width, simd::add(simd::load(sums + v * width), totals[v]));
  }
  return pairs;
}

#endif

template <int Vectors>
std::ptrdiff_t pair_vectors(const float* weights, std::ptrdiff_t keys, bool begins_odd,
                            std::uint32_t* words, float* sums) {
#if HEEDFUL_BFLOAT16_PAIRS
  if (simd::has_bfloat16_pairs()) {
    return pair_by_instruction<Vectors>(weights, keys, begins_odd, words, sums);
  }
#endif
  return pair_by_bits<Vectors>(weights, keys, begins_odd, words, sums);
}

}  // namespace

std::ptrdiff_t pair_weights(const float* weights, std::ptrdiff_t keys, int lanes, bool begins_odd,
                            std::uint32_t* words, float* sums) {
  switch (lanes / width) {
    case 1:
      return pair_vectors<1>(weights, keys, begins_odd, words, sums);
    case 2:
      return pair_vectors<2>(weights, keys, begins_odd, words, sums);
    default:
      return pair_vectors<3>(weights, keys, begins_odd, words, sums);
  }
}

void scale_columns(float* values, std::ptrdiff_t rows, int lanes, const float* factors) {
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    for (int lane = 0; lane < lanes; lane += width, values += width) {
      simd::store(values, simd::multiply(simd::load(values), simd::load(factors + lane)));
    }
  }
}

}  // namespace heedful
