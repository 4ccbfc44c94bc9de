// A dense layer of int8 against plain loops over exact integers: every way, every remainder, every
// part of the epilogue.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>

#include "check.hpp"
#include "linear/int8_example.hpp"
#include "simd/int8_ways.hpp"

namespace heedful {
namespace {

constexpr const char* all_ways[] = {"widened", "bytes", "vnni", "tiles", "tiles-model"};

bool available(const char* way) { return simd::force_int8(way).empty(); }

void expect_right(const char* way, const LinearSizes& sizes, const Int8Parts& parts) {
  Int8Example example(sizes, parts);
  example.run(1);
  if (!check(example.is_right(), "y is that of plain loops over integers")) {
    std::printf("%s: %td rows, %td inputs, %td outputs\n", way, sizes.rows, sizes.inputs,
                sizes.outputs);
  }
}

void every_remainder(const char* way) {
  const std::ptrdiff_t counts[] = {1, 2, 3, 5, 8, 9, 16, 17, 33, 49, 97};
  for (const std::ptrdiff_t rows : counts) {
    for (const std::ptrdiff_t inputs : {0, 1, 3, 4, 31, 32, 63, 64, 65, 97, 128, 131}) {
      for (const std::ptrdiff_t outputs : counts) {
        expect_right(way, {rows, inputs, outputs}, plain);
      }
    }
  }
}

void every_part(const char* way) {
  for (const LinearSizes& sizes : {LinearSizes{3, 200, 97}, {57, 200, 301}}) {
    for (const Int8Parts& parts : all_parts) expect_right(way, sizes, parts);
  }
}

// The sums come close to 2^31, and those before zero is subtracted, too.
void extremes_do_not_overflow(const char* way) {
  for (const std::ptrdiff_t rows : {1, 19, 50}) {
    for (const int of_weight : {-128, 127}) {
      for (const float of_x : {1.0f, -1.0f}) {
        Int8Example example({rows, max_int8_depth, 17}, plain);
        std::fill(example.weight.begin(), example.weight.end(),
                  static_cast<std::int8_t>(of_weight));
        example.sum_weight();
        std::fill(example.x.data.begin(), example.x.data.end(), of_x);
        example.run(1);
        const double sum = static_cast<double>(max_int8_depth) * of_weight;
        bool right = true;
        for (std::ptrdiff_t row = 0; row < rows; ++row) {
          for (std::ptrdiff_t output = 0; output < 17; ++output) {
            const double expected =
                sum * static_cast<double>(of_x) * static_cast<double>(example.scales[size(output)]);
            right &= std::abs(static_cast<double>(example.y.at(row, output)) - expected) <=
                     1e-6 * std::abs(expected);
          }
        }
        if (!check(right, "the longest sums of the largest products are right")) {
          std::printf("%s: weight %d, x %g, %td rows\n", way, of_weight, static_cast<double>(of_x),
                      rows);
        }
      }
    }
  }
}

void threads_do_not_matter() {
  for (const LinearSizes& sizes : {LinearSizes{1025, 97, 67}, {7, 97, 1025}, {130, 260, 401}}) {
    Int8Example alone(sizes, all_parts[3]);
    alone.run(1);
    for (const int threads : {2, 3}) {
      Int8Example together(sizes, all_parts[3]);
      together.run(threads);
      check(together.same_bits(alone), "the same bits for any number of threads");
    }
  }
}

void many_slabs() {
  Int8Example example({4200, 4100, 19}, plain);
  example.run(2);
  Int8Example last({40, 4100, 19}, plain);
  std::copy_n(example.x.data.data() + 4160 * example.x.stride, 40 * example.x.stride,
              last.x.data.data());
  last.run(1);
  bool same = true;
  for (std::ptrdiff_t row = 0; row < 40; ++row) {
    for (std::ptrdiff_t output = 0; output < 19; ++output) {
      same &= example.y.at(4160 + row, output) == last.y.at(row, output);
    }
  }
  check(same, "a row has the same bits among few and among very many");
}

void a_row_alone_has_the_bits_of_a_row_among_others() {
  Int8Example all({41, 131, 77}, plain);
  all.run(1);
  bool same = true;
  for (std::ptrdiff_t row = 0; row < 41; ++row) {
    Int8Example one({1, 131, 77}, plain);
    std::copy_n(all.x.data.data() + row * all.x.stride, 131, one.x.data.data());
    one.run(1);
    same &= std::memcmp(one.y.data.data(), all.y.data.data() + row * all.y.stride,
                        77 * sizeof(float)) == 0;
  }
  check(same, "a row has the same bits alone and among others");
}

void nan_stays_in_its_row() {
  for (const std::ptrdiff_t rows : {3, 41}) {
    for (const float value :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
      Int8Example example({rows, 131, 61}, plain);
      example.x.at(2, 130) = value;
      example.run(1);
      bool right = true;
      for (std::ptrdiff_t row = 0; row < rows; ++row) {
        for (std::ptrdiff_t output = 0; output < 61; ++output) {
          right &= std::isnan(example.y.at(row, output)) == (row == 2);
        }
      }
      check(right, "a row with NaN or ∞ is NaN, and no other");
    }
  }
}

void empty_shapes_write_nothing() {
  for (const LinearSizes& sizes : {LinearSizes{0, 5, 7}, {5, 7, 0}, {0, 0, 0}}) {
    Int8Example example(sizes, plain);
    example.run(2);
    check(example.y.gaps_are_untouched(), "no rows or no outputs: nothing is written");
  }
}

void all_ways_have_the_same_bits() {
  for (const LinearSizes& sizes : {LinearSizes{5, 300, 97}, {57, 301, 97}, {97, 1030, 301}}) {
    simd::force_int8("widened");
    Int8Example first(sizes, all_parts[3]);
    first.run(1);
    for (const char* way : all_ways) {
      if (!available(way)) continue;
      Int8Example example(sizes, all_parts[3]);
      example.run(1);
      check(example.same_bits(first), "all ways have the same bits");
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  for (const char* way : all_ways) {
    if (!available(way)) {
      std::printf("%s: %s\n", way, simd::force_int8(way).c_str());
      continue;
    }
    every_remainder(way);
    every_part(way);
    extremes_do_not_overflow(way);
    threads_do_not_matter();
    a_row_alone_has_the_bits_of_a_row_among_others();
    nan_stays_in_its_row();
    empty_shapes_write_nothing();
  }
  simd::force_int8("");
  many_slabs();
  all_ways_have_the_same_bits();
  check(!simd::force_int8("nonsense").empty(), "an unknown way is refused");
  return summary();
}
