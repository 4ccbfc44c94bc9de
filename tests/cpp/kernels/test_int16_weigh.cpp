// Weighted sums of rows of int8 by weights of int16, against exact integers.
#include <cstdio>
#include <vector>

#include "check.hpp"
#include "kernels/int16_weigh.hpp"
#include "random_numbers.hpp"
#include "simd/int8_ways.hpp"

namespace heedful {
namespace {

std::size_t size(std::ptrdiff_t count) { return static_cast<std::size_t>(count); }

// The sums are floats that hold them exactly: weights are small here.
void sums_are_weighted_sums() {
  for (std::ptrdiff_t rows = 1; rows <= 9; ++rows) {
    for (const std::ptrdiff_t keys : {1, 2, 3, 8, 17}) {
      for (const std::ptrdiff_t blocks : {1, 2, 3, 5}) {
        const std::ptrdiff_t columns = blocks * interleaved_columns;
        const std::ptrdiff_t value_stride = columns + 4, weight_stride = keys + 3;
        RandomNumbers random(5);
        std::vector<std::int8_t> values(size(keys * value_stride));
        for (auto& value : values) {
          value = static_cast<std::int8_t>(int(random.bits() % 255) - 127);
        }
        std::vector<std::int16_t> weights(size(rows * weight_stride));
        for (auto& weight : weights) weight = static_cast<std::int16_t>(random.bits() % 1000);
        std::vector<std::int32_t> sums(size(rows * columns), 0);
        // two pieces: rows one stride apart, and rows by their places
        const std::ptrdiff_t first = keys / 3;
        weigh_int16({rows,
                     first,
                     columns,
                     weights.data(),
                     weight_stride,
                     {values.data(), value_stride},
                     sums.data(),
                     {reinterpret_cast<const char*>(values.data()), 0}});
        std::vector<const std::int8_t*> places;
        for (std::ptrdiff_t key = first; key < keys; ++key) {
          places.push_back(values.data() + key * value_stride);
        }
        weigh_int16(Int16Weighing<RowList<std::int8_t>, ListPrefetch>{rows,
                                                                      keys - first,
                                                                      columns,
                                                                      weights.data() + first,
                                                                      weight_stride,
                                                                      {places.data()},
                                                                      sums.data(),
                                                                      {places.data()}});
        bool right = true;
        for (std::ptrdiff_t row = 0; row < rows; ++row) {
          std::vector<float> outs(size(columns), 0.5f);
          add_int16_sums(sums.data() + row * columns, columns, 2.0f, outs.data());
          for (std::ptrdiff_t column = 0; column < columns; ++column) {
            std::int32_t sum = 0;
            for (std::ptrdiff_t key = 0; key < keys; ++key) {
              sum += weights[size(row * weight_stride + key)] *
                     values[size(key * value_stride + column)];
            }
            right &= outs[size(column)] == 0.5f + 2.0f * static_cast<float>(sum);
          }
        }
        if (!check(right, "outs += scale · weights · values, columns in order")) {
          std::printf("at %td rows, %td keys, %td columns\n", rows, keys, columns);
        }
      }
    }
  }
}

void the_most_keys_do_not_overflow() {
  std::vector<std::int16_t> weights(size(max_int16_keys), 32767);
  std::vector<std::int8_t> values(size(max_int16_keys * interleaved_columns), -127);
  std::vector<std::int32_t> sums(size(interleaved_columns), 0);
  weigh_int16({1,
               max_int16_keys,
               interleaved_columns,
               weights.data(),
               max_int16_keys,
               {values.data(), interleaved_columns},
               sums.data(),
               {reinterpret_cast<const char*>(values.data()), 0}});
  bool right = true;
  for (const std::int32_t sum : sums) right &= sum == -127 * 32767 * int{max_int16_keys};
  check(right, "sums of the most keys are exact");
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
    sums_are_weighted_sums();
    the_most_keys_do_not_overflow();
  }
  return summary();
}
