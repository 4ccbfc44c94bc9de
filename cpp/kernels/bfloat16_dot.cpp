#include "kernels/bfloat16_dot.hpp"

#include "simd/bfloat16_pairs.hpp"

#if HEEDFUL_BFLOAT16_PAIRS

#include "kernels/dot_kernel.hpp"

namespace heedful {

// The element that dot_kernel reads here: two of 16 bits.
struct PairWord {
  std::uint32_t bits;
};

// On full vectors of words.
template <int QueryRows, int Keys>
struct DotBlock<float, PairWord, QueryRows, Keys> {
  HEEDFUL_PAIRS_TARGET static simd::Packet<float> run(
      const float* query_rows, std::ptrdiff_t query_stride, const PairWord* const* keys,
      const LinePrefetch& prefetch, std::ptrdiff_t first_key, const RowVectors<float>& vectors,
      const simd::Packet<float>&) {
    using P = simd::Packet<float>;
    constexpr int width = simd::lanes<float>;
    const auto words = [](const void* from) {
      return simd::load_words(static_cast<const std::uint32_t*>(from));
    };
    P sums[Keys][QueryRows];
#pragma GCC unroll 16
    for (int key = 0; key < Keys; ++key) {
#pragma GCC unroll 16
      for (int row = 0; row < QueryRows; ++row) sums[key][row] = simd::broadcast(0.0f);
    }
    for (std::ptrdiff_t v = 0; v < vectors.count; ++v) {
      simd::Words values[Keys];
#pragma GCC unroll 16
      for (int key = 0; key < Keys; ++key) {
        prefetch.line<PairWord>(first_key + key, v * width);
        values[key] = words(keys[key] + v * width);
      }
#pragma GCC unroll 16
      for (int row = 0; row < QueryRows; ++row) {
        const simd::Words query = words(query_rows + row * query_stride + v * width);
#pragma GCC unroll 16
        for (int key = 0; key < Keys; ++key) {
          sums[key][row] = simd::dot_pairs(query, values[key], sums[key][row]);
        }
      }
    }
    return sum_block<float, QueryRows, Keys>(sums);
  }
};

void dot_pair_rows(const std::uint16_t* queries, std::ptrdiff_t rows, std::ptrdiff_t depth,
                   float factor, Rows<std::uint16_t> keys, std::ptrdiff_t count,
                   const LinePrefetch& prefetch, float* scores, std::ptrdiff_t score_stride) {
  const DotQueries<float> words{reinterpret_cast<const float*>(queries), rows,
                                RowVectors<float>(depth / 2)};
  dot_rows(words, Rows<PairWord>{reinterpret_cast<const PairWord*>(keys.data), keys.stride / 2},
           count, prefetch, scores, score_stride);
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    float* const of_row = scores + row * score_stride;
    for (std::ptrdiff_t key = 0; key < count; ++key) of_row[key] *= factor;
  }
}

}  // namespace heedful

#endif
