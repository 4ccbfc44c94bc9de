// Dot products of rows of bfloat16, pair by pair, against long double.
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "check.hpp"
#include "kernels/bfloat16_dot.hpp"
#include "random_numbers.hpp"
#include "simd/bfloat16_pairs.hpp"
#include "simd/half.hpp"

namespace heedful {
namespace {

#if HEEDFUL_BFLOAT16_PAIRS

constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

// Elements of bfloat16, and the same in float32.
struct Halves {
  std::vector<std::uint16_t> stored;
  std::vector<float> wide;

  Halves(std::ptrdiff_t count, RandomNumbers& random)
      : stored(static_cast<std::size_t>(count)), wide(stored.size()) {
    for (float& value : wide) value = static_cast<float>(random.between(-1, 1));
    simd::narrow_bfloat16(wide.data(), stored.data(), count);
    simd::widen_bfloat16(stored.data(), wide.data(), count);
  }
};

void scores_are_dot_products() {
  constexpr float factor = 0.75f, untouched = -77;
  for (std::ptrdiff_t rows = 1; rows <= 9; ++rows) {
    for (const std::ptrdiff_t keys : {0, 1, 2, 3, 4, 5, 7, 13, 37}) {
      for (const std::ptrdiff_t depth : {pair_columns, 2 * pair_columns, 5 * pair_columns}) {
        const std::ptrdiff_t key_stride = depth + 6, score_stride = keys + 2;
        RandomNumbers random(17);
        const Halves queries((rows + 3) * depth, random), memory(keys * key_stride, random);
        std::vector<float> scores(static_cast<std::size_t>(rows * score_stride), untouched);
        dot_pair_rows(
            queries.stored.data(), rows, depth, factor, {memory.stored.data(), key_stride}, keys,
            {reinterpret_cast<const char*>(memory.stored.data()), 0}, scores.data(), score_stride);
        bool right = true;
        for (std::ptrdiff_t row = 0; row < rows; ++row) {
          for (std::ptrdiff_t key = 0; key < score_stride; ++key) {
            const float score = scores[static_cast<std::size_t>(row * score_stride + key)];
            if (key >= keys) {
              right &= score == untouched;
              continue;
            }
            long double sum = 0;
            for (std::ptrdiff_t d = 0; d < depth; ++d) {
              sum += static_cast<long double>(
                         queries.wide[static_cast<std::size_t>(row * depth + d)]) *
                     memory.wide[static_cast<std::size_t>(key * key_stride + d)];
            }
            right &= std::abs(score - factor * sum) <=
                     static_cast<long double>(depth) * std::numeric_limits<float>::epsilon();
          }
        }
        check(right, "scores = factor · queries · keys, and nothing else is written");
      }
    }
  }
}

void an_infinite_element_stays_in_its_row() {
  constexpr std::ptrdiff_t depth = pair_columns, keys = 5, place = 3;
  RandomNumbers random(18);
  const Halves queries(4 * depth, random);
  Halves memory(keys * depth, random);
  for (std::ptrdiff_t d = 0; d < depth; ++d) {
    Halves one = memory;
    one.stored[static_cast<std::size_t>(place * depth + d)] = 0x7F80;
    float scores[keys];
    dot_pair_rows(queries.stored.data(), 1, depth, 1, {one.stored.data(), depth}, keys,
                  {reinterpret_cast<const char*>(one.stored.data()), 0}, scores, keys);
    const float sign = queries.wide[static_cast<std::size_t>(d)];
    bool right = scores[place] == (sign < 0 ? minus_infinity : -minus_infinity);
    for (std::ptrdiff_t key = 0; key < keys; ++key) {
      if (key != place) right &= std::isfinite(scores[key]);
    }
    check(right, "only the key that holds ∞ scores ∞");
  }
}

#endif

}  // namespace
}  // namespace heedful

int main() {
#if HEEDFUL_BFLOAT16_PAIRS
  if (heedful::simd::has_bfloat16_pairs()) {
    heedful::scores_are_dot_products();
    heedful::an_infinite_element_stays_in_its_row();
    return heedful::summary();
  }
#endif
  std::puts("no pairs of bfloat16 at this level or on this processor");
}
