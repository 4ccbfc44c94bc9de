// Dot products of few rows with many keys, against long double.
#include <cmath>
#include <limits>
#include <vector>

#include "attention/dot_kernel.hpp"
#include "check.hpp"
#include "random_numbers.hpp"

namespace heedful {
namespace {

template <class T>
void scores_are_dot_products() {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  for (std::ptrdiff_t rows = 1; rows <= 9; ++rows) {
    for (const std::ptrdiff_t keys : {0, 1, 2, 3, 4, 5, 7, 13}) {
      for (const std::ptrdiff_t depth : {std::ptrdiff_t{0}, width, 2 * width, 7 * width}) {
        const std::ptrdiff_t key_stride = depth + 3, score_stride = keys + 2;
        RandomNumbers random(13);
        const auto numbers = [&](std::ptrdiff_t count) {
          std::vector<T> values(static_cast<std::size_t>(count));
          for (T& value : values) value = static_cast<T>(random.between(-1, 1));
          return values;
        };
        const std::vector<T> queries = numbers(rows * depth);
        const std::vector<T> key_rows = numbers(keys * key_stride);
        std::vector<T> scores(static_cast<std::size_t>(rows * score_stride), T(-77));
        dot_rows(queries.data(), rows, depth, Rows<T>{key_rows.data(), key_stride}, keys,
                 scores.data(), score_stride);
        bool right = true;
        for (std::ptrdiff_t row = 0; row < rows; ++row) {
          for (std::ptrdiff_t key = 0; key < score_stride; ++key) {
            const T score = scores[static_cast<std::size_t>(row * score_stride + key)];
            if (key >= keys) {
              right &= score == T(-77);
              continue;
            }
            long double sum = 0;
            for (std::ptrdiff_t d = 0; d < depth; ++d) {
              sum += static_cast<long double>(queries[static_cast<std::size_t>(row * depth + d)]) *
                     key_rows[static_cast<std::size_t>(key * key_stride + d)];
            }
            right &= std::abs(score - sum) <=
                     static_cast<long double>(depth) * std::numeric_limits<T>::epsilon();
          }
        }
        check(right, "scores[row][key] = queries[row] · keys[key], and nothing else is written");
      }
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::scores_are_dot_products<float>();
  heedful::scores_are_dot_products<double>();
  return heedful::summary();
}
