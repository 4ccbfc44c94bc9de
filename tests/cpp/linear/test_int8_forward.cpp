// A dense layer of int8 against plain loops over exact integers: every way, every remainder, every
// part of the epilogue.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

#include "check.hpp"
#include "linear/gapped_matrix.hpp"
#include "linear/int8_forward.hpp"
#include "simd/int8_ways.hpp"

namespace heedful {
namespace {

std::size_t size(std::ptrdiff_t count) { return static_cast<std::size_t>(count); }

// x, as eight bits by the range of its row.
struct QuantisedRow {
  float scale;
  int zero;
  std::vector<int> q;

  QuantisedRow(const float* x, std::ptrdiff_t count) {
    float low = 0, high = 0;
    for (std::ptrdiff_t k = 0; k < count; ++k) {
      low = std::fmin(low, x[k]);
      high = std::fmax(high, x[k]);
    }
    const volatile float of_high = high / 255, of_low = low / 255;
    scale = std::fmax(of_high - of_low, std::numeric_limits<float>::min());
    const float inverse = 1 / scale;
    zero = -static_cast<int>(std::nearbyint(low * inverse));
    for (std::ptrdiff_t k = 0; k < count; ++k) {
      const volatile float quotient = x[k] * inverse;
      q.push_back(std::min(static_cast<int>(std::nearbyint(quotient)) + zero, 255));
    }
  }
};

struct Parts {
  bool bias, residual;
  Activation activation;
};
constexpr Parts plain{false, false, Activation::none};
constexpr Parts all_parts[] = {plain,
                               {true, false, Activation::none},
                               {false, true, Activation::none},
                               {true, true, Activation::gelu},
                               {true, false, Activation::relu}};

struct Example {
  LinearSizes sizes;
  Parts parts;
  GappedMatrix<float> x, bias, residual, y;
  std::ptrdiff_t stride;
  std::vector<std::int8_t> weight;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;

  Example(const LinearSizes& given, const Parts& which)
      : sizes(given),
        parts(which),
        x(given.rows, given.inputs, 1),
        bias(1, given.outputs, 3),
        residual(given.rows, given.outputs, 4, 2),
        y(given.rows, given.outputs, 6, 7),
        stride(given.inputs + 1) {
    RandomNumbers random(static_cast<std::uint64_t>(given.inputs));
    for (std::ptrdiff_t i = 0; i < given.outputs * stride; ++i) {
      weight.push_back(static_cast<std::int8_t>(int(random.bits() % 256) - 128));
    }
    for (std::ptrdiff_t output = 0; output < given.outputs; ++output) {
      scales.push_back(static_cast<float>(random.between(0.001, 0.01)));
    }
    sum_weight();
  }

  void sum_weight() {
    sums.clear();
    for (std::ptrdiff_t output = 0; output < sizes.outputs; ++output) {
      std::int32_t sum = 0;
      for (std::ptrdiff_t k = 0; k < sizes.inputs; ++k) sum += weight[size(output * stride + k)];
      sums.push_back(sum);
    }
  }

  void run(int threads) {
    const Epilogue<float> epilogue{parts.bias ? bias.data.data() : nullptr,
                                   parts.residual
                                       ? Matrix<const float>{residual.data.data(), residual.stride}
                                       : Matrix<const float>{},
                                   parts.activation,
                                   {},
                                   y.view()};
    const Matrix<const std::int8_t> rows{weight.data(), stride};
    const std::ptrdiff_t row_bytes = split_row_bytes(sizes.inputs);
    std::vector<std::byte> main(size(sizes.outputs * row_bytes));
    std::vector<std::int64_t> begins(size(sizes.outputs + 1));
    std::vector<ExtraWord> extra;
    Int8Split split;
    if (int8_reads_split(sizes.rows)) {
      extra =
          split_weight(rows, sizes.outputs, sizes.inputs, {main.data(), row_bytes}, begins.data());
      split = {{main.data(), row_bytes}, begins.data(), extra.data()};
    }
    int8_forward(sizes, {x.data.data(), x.stride}, {rows, {scales.data(), sums.data()}, split},
                 epilogue, Team{threads});
  }

  bool is_right() const {
    bool right = y.gaps_are_untouched();
    for (std::ptrdiff_t row = 0; row < sizes.rows; ++row) {
      const QuantisedRow quantised(x.data.data() + row * x.stride, sizes.inputs);
      for (std::ptrdiff_t output = 0; output < sizes.outputs; ++output) {
        std::int64_t sum = 0;
        for (std::ptrdiff_t k = 0; k < sizes.inputs; ++k) {
          sum += std::int64_t{quantised.q[size(k)] - quantised.zero} *
                 weight[size(output * stride + k)];
        }
        float value = static_cast<float>(sum) * scales[size(output)] * quantised.scale;
        if (parts.bias) value += bias.at(0, output);
        activate(parts.activation, &value, &value, 1);
        if (parts.residual) value += residual.at(row, output);
        // the last bit of a sum may be that of a fused multiply-add here
        const float tolerance = parts.bias || parts.residual ? 1e-6f : 0.0f;
        right &= std::abs(y.at(row, output) - value) <= tolerance * (1 + std::abs(value));
      }
    }
    return right;
  }

  bool same_bits(const Example& other) const {
    return std::memcmp(y.data.data(), other.y.data.data(), y.data.size() * sizeof(float)) == 0;
  }
};

constexpr const char* all_ways[] = {"widened", "bytes", "vnni", "tiles", "tiles-model"};

bool available(const char* way) { return simd::force_int8(way).empty(); }

void expect_right(const char* way, const LinearSizes& sizes, const Parts& parts) {
  Example example(sizes, parts);
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
    for (const Parts& parts : all_parts) expect_right(way, sizes, parts);
  }
}

// The sums come close to 2^31, and those before zero is subtracted, too.
void extremes_do_not_overflow(const char* way) {
  for (const std::ptrdiff_t rows : {1, 19, 50}) {
    for (const int of_weight : {-128, 127}) {
      for (const float of_x : {1.0f, -1.0f}) {
        Example example({rows, max_int8_depth, 17}, plain);
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
    Example alone(sizes, all_parts[3]);
    alone.run(1);
    for (const int threads : {2, 3}) {
      Example together(sizes, all_parts[3]);
      together.run(threads);
      check(together.same_bits(alone), "the same bits for any number of threads");
    }
  }
}

void many_slabs() {
  Example example({4200, 4100, 19}, plain);
  example.run(2);
  Example last({40, 4100, 19}, plain);
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
  Example all({41, 131, 77}, plain);
  all.run(1);
  bool same = true;
  for (std::ptrdiff_t row = 0; row < 41; ++row) {
    Example one({1, 131, 77}, plain);
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
      Example example({rows, 131, 61}, plain);
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
    Example example(sizes, plain);
    example.run(2);
    check(example.y.gaps_are_untouched(), "no rows or no outputs: nothing is written");
  }
}

void all_ways_have_the_same_bits() {
  for (const LinearSizes& sizes : {LinearSizes{5, 300, 97}, {57, 301, 97}, {97, 1030, 301}}) {
    simd::force_int8("widened");
    Example first(sizes, all_parts[3]);
    first.run(1);
    for (const char* way : all_ways) {
      if (!available(way)) continue;
      Example example(sizes, all_parts[3]);
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
