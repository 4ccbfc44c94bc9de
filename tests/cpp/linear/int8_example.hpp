// A dense layer of int8 with its oracle: plain loops over exact integers.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "check.hpp"
#include "linear/gapped_matrix.hpp"
#include "linear/int8_forward.hpp"

namespace heedful {

inline std::size_t size(std::ptrdiff_t count) { return static_cast<std::size_t>(count); }

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

struct Int8Parts {
  bool bias, residual;
  Activation activation;
};
inline constexpr Int8Parts plain{false, false, Activation::none};
inline constexpr Int8Parts all_parts[] = {plain,
                                          {true, false, Activation::none},
                                          {false, true, Activation::none},
                                          {true, true, Activation::gelu},
                                          {true, false, Activation::relu}};

struct Int8Example {
  LinearSizes sizes;
  Int8Parts parts;
  GappedMatrix<float> x, bias, residual, y;
  std::ptrdiff_t stride;
  std::vector<std::int8_t> weight;
  std::vector<float> scales;
  std::vector<std::int32_t> sums;

  Int8Example(const LinearSizes& given, const Int8Parts& which)
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

  bool same_bits(const Int8Example& other) const {
    return std::memcmp(y.data.data(), other.y.data.data(), y.data.size() * sizeof(float)) == 0;
  }
};

}  // namespace heedful
