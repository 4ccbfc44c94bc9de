#include "kernels/int16_dot.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/dot_kernel.hpp"
#include "simd/int8_ways.hpp"
#include "simd/integer_dots.hpp"

namespace heedful {

// The element that dot_kernel reads here: two keys' columns. Fused: by VNNI.
template <bool Fused>
struct Int8Pair {
  std::int8_t values[2];
};

template <bool Fused, int QueryRows, int Keys>
struct DotBlock<float, Int8Pair<Fused>, QueryRows, Keys> {
  template <class Prefetch>
  static simd::Packet<float> run(const float* query_rows, std::ptrdiff_t query_stride,
                                 const Int8Pair<Fused>* const* keys, const Prefetch& prefetch,
                                 std::ptrdiff_t first_key, const RowVectors<float>& vectors,
                                 const simd::Packet<float>&) {
    constexpr int width = simd::lanes<float>;
    simd::Words sums[Keys][QueryRows] = {};
    for (std::ptrdiff_t v = 0; v < vectors.count; ++v) {
      simd::Words values[Keys];
#pragma GCC unroll 16
      for (int key = 0; key < Keys; ++key) {
        prefetch.template line<Int8Pair<Fused>>(first_key + key, v * width);
        values[key] = simd::load_int16(keys[key]->values + 2 * v * width);
      }
#pragma GCC unroll 16
      for (int row = 0; row < QueryRows; ++row) {
        const simd::Words query = simd::load_words(query_rows + row * query_stride + v * width);
#pragma GCC unroll 16
        for (int key = 0; key < Keys; ++key) {
          sums[key][row] = simd::dot_int16<Fused>(query, values[key], sums[key][row]);
        }
      }
    }
    simd::Packet<float> converted[Keys][QueryRows];
#pragma GCC unroll 16
    for (int key = 0; key < Keys; ++key) {
#pragma GCC unroll 16
      for (int row = 0; row < QueryRows; ++row)
        converted[key][row] = simd::to_float(sums[key][row]);
    }
    return sum_block<float, QueryRows, Keys>(converted);
  }
};

bool round_to_int16(const float* row, std::ptrdiff_t columns, std::int16_t* q, float& scale) {
  constexpr int width = simd::lanes<float>;
  constexpr float largest = 32767;
  auto lows = simd::broadcast(0.0f), highs = lows, zeros = lows;
  const auto nothing = lows;
  for (std::ptrdiff_t k = 0; k < columns; k += width) {
    const auto values = simd::load(row + k);
    lows = simd::minimum(lows, values);
    highs = simd::maximum(highs, values);
    zeros = simd::add(zeros, simd::multiply(values, nothing));  // NaN where one is not finite
  }
  const float maximum = std::max(-simd::min_lane(lows), simd::max_lane(highs));
  const float steps = maximum == 0 ? 0 : largest / maximum;
  const auto usable = [](float number) { return number == 0 || std::isnormal(number); };
  if (std::isnan(simd::sum(zeros)) || !usable(maximum / largest) || !usable(steps)) return false;
  scale = maximum / largest;
  for (std::ptrdiff_t k = 0; k < columns; k += width) {
    const auto rounded =
        simd::round_even(simd::multiply(simd::load(row + k), simd::broadcast(steps)));
    alignas(64) std::int32_t integers[width];
    simd::store_words(integers, simd::to_integers(rounded));
    for (int i = 0; i < width; ++i) q[k + i] = static_cast<std::int16_t>(integers[i]);
  }
  return true;
}

template <class Pair>
Rows<Pair> pairs_of(Rows<std::int8_t> keys) {
  return {reinterpret_cast<const Pair*>(keys.data), keys.stride / 2};
}
template <class Pair>
RowList<Pair> pairs_of(RowList<std::int8_t> keys) {
  return {reinterpret_cast<const Pair* const*>(keys.rows)};
}

template <class Keys, class Prefetch>
void dot_pairs(const Int16Rows& rows, const Keys& keys, std::ptrdiff_t count,
               const Prefetch& prefetch, float* scores, std::ptrdiff_t score_stride) {
  const DotQueries<float> words{reinterpret_cast<const float*>(rows.q), rows.rows,
                                RowVectors<float>(rows.columns / 2)};
  if (simd::int8_ways().rows == simd::Int8Way::vnni) {
    dot_rows(words, pairs_of<Int8Pair<true>>(keys), count, prefetch, scores, score_stride);
  } else {
    dot_rows(words, pairs_of<Int8Pair<false>>(keys), count, prefetch, scores, score_stride);
  }
}

void dot_int16_rows(const Int16Rows& rows, Rows<std::int8_t> keys, std::ptrdiff_t count,
                    const LinePrefetch& prefetch, float* scores, std::ptrdiff_t score_stride) {
  dot_pairs(rows, keys, count, prefetch, scores, score_stride);
}

void dot_int16_rows(const Int16Rows& rows, RowList<std::int8_t> keys, std::ptrdiff_t count,
                    const ListPrefetch& prefetch, float* scores, std::ptrdiff_t score_stride) {
  dot_pairs(rows, keys, count, prefetch, scores, score_stride);
}

}  // namespace heedful
