// Scores of rows of int16 against keys of int8, against exact integers, and the rounding of rows.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "check.hpp"
#include "kernels/int16_dot.hpp"
#include "random_numbers.hpp"
#include "simd/int8_ways.hpp"

namespace heedful {
namespace {

std::size_t size(std::ptrdiff_t count) { return static_cast<std::size_t>(count); }

void scores_are_sums_of_integers() {
  constexpr float untouched = -77;
  for (std::ptrdiff_t rows = 1; rows <= 9; ++rows) {
    for (const std::ptrdiff_t keys : {0, 1, 2, 3, 4, 5, 7, 13, 37}) {
      for (const std::ptrdiff_t columns : {int16_columns, 2 * int16_columns, 5 * int16_columns}) {
        for (const bool extreme : {false, true}) {
          const std::ptrdiff_t key_stride = columns + 6, score_stride = keys + 2;
          RandomNumbers random(17);
          std::vector<std::int16_t> q(size((rows + 3) * columns), 0);
          for (std::ptrdiff_t i = 0; i < rows * columns; ++i) {
            q[size(i)] =
                extreme ? -32767 : static_cast<std::int16_t>(int(random.bits() % 65535) - 32767);
          }
          std::vector<std::int8_t> memory(size(keys * key_stride));
          for (auto& element : memory) {
            element = extreme ? -127 : static_cast<std::int8_t>(int(random.bits() % 255) - 127);
          }
          std::vector<float> scores(size(rows * score_stride), untouched);
          dot_int16_rows({q.data(), rows, columns}, {memory.data(), key_stride}, keys,
                         {reinterpret_cast<const char*>(memory.data()), 0}, scores.data(),
                         score_stride);
          std::vector<const std::int8_t*> places(size(keys + prefetched_block - 1), memory.data());
          for (std::ptrdiff_t key = 0; key < keys; ++key) {
            places[size(key)] = memory.data() + key * key_stride;
          }
          std::vector<float> listed(scores.size(), untouched);
          dot_int16_rows({q.data(), rows, columns}, RowList<std::int8_t>{places.data()}, keys,
                         ListPrefetch{places.data()}, listed.data(), score_stride);
          bool right = listed == scores;
          for (std::ptrdiff_t row = 0; row < rows; ++row) {
            for (std::ptrdiff_t key = 0; key < score_stride; ++key) {
              const float score = scores[size(row * score_stride + key)];
              if (key >= keys) {
                right &= score == untouched;
                continue;
              }
              std::int64_t sum = 0, magnitude = 0;
              for (std::ptrdiff_t k = 0; k < columns; ++k) {
                const std::int64_t term =
                    std::int64_t{q[size(row * columns + k)]} * memory[size(key * key_stride + k)];
                sum += term;
                magnitude += std::abs(term);
              }
              // the sums of lanes are exact, their sum is one of floats
              right &= std::abs(static_cast<double>(score) - static_cast<double>(sum)) <=
                       static_cast<double>(magnitude) * std::numeric_limits<float>::epsilon() * 3;
            }
          }
          if (!check(right, "scores = q · keys, and nothing else is written")) {
            std::printf("at %td rows, %td keys, %td columns\n", rows, keys, columns);
          }
        }
      }
    }
  }
}

void the_longest_rows_do_not_overflow() {
  std::vector<std::int16_t> q(size(max_int16_columns), 32767);
  std::vector<std::int8_t> key(size(max_int16_columns), 127);
  float score = 0;
  dot_int16_rows({q.data(), 1, max_int16_columns}, {key.data(), max_int16_columns}, 1,
                 {reinterpret_cast<const char*>(key.data()), 0}, &score, 1);
  const double exact = 32767.0 * 127 * static_cast<double>(max_int16_columns);
  check(std::abs(score / exact - 1) < 1e-6, "sums of the most columns do not overflow");
}

void rows_are_rounded_to_the_nearest() {
  RandomNumbers random(3);
  for (const double factor : {1e-30, 1.0, 1e30}) {
    std::vector<float> row(size(3 * int16_columns));
    for (float& value : row) value = static_cast<float>(factor * random.between(-1, 1));
    std::vector<std::int16_t> q(row.size());
    float scale = 0;
    check(round_to_int16(row.data(), 3 * int16_columns, q.data(), scale), "finite rows");
    int largest = 0;
    bool near = true;
    for (std::size_t i = 0; i < row.size(); ++i) {
      largest = std::max(largest, std::abs(int{q[i]}));
      near &= std::abs(row[i] / double{scale} - q[i]) <= 0.5 + 0.01;
    }
    check(near && largest == 32767, "each element is the nearest, the largest one ±32767");
  }
}

void some_rows_cannot_be_rounded() {
  std::vector<std::int16_t> q(size(int16_columns), 7);
  float scale = -1;
  std::vector<float> row(size(int16_columns), 0.0f);
  check(round_to_int16(row.data(), int16_columns, q.data(), scale) && scale == 0 && q[3] == 0,
        "a row of zeros");
  std::fill(q.begin(), q.end(), std::int16_t{7});
  for (const float wrong :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
        -std::numeric_limits<float>::infinity(), 1e-40f, 1e-36f}) {
    row[3] = wrong;
    scale = -1;
    check(!round_to_int16(row.data(), int16_columns, q.data(), scale) && scale == -1 && q[3] == 7,
          "not finite, or too small: nothing is written");
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  for (const char* way : {"widened", "vnni"}) {
    if (!simd::force_int8(way).empty()) {
      std::puts("no VNNI at this level or on this processor");
      continue;
    }
    scores_are_sums_of_integers();
    the_longest_rows_do_not_overflow();
  }
  rows_are_rounded_to_the_nearest();
  some_rows_cannot_be_rounded();
  return summary();
}
