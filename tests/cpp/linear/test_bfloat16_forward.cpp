// A dense layer of bfloat16: few and many rows, one part of the weight and several, against plain
// loops; and the bits of the same weight in float.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "check.hpp"
#include "linear/bfloat16_forward.hpp"
#include "linear/gapped_matrix.hpp"

namespace heedful {
namespace {

float widened(std::uint16_t bits) {
  const std::uint32_t word = static_cast<std::uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &word, sizeof value);
  return value;
}

void sums_are_those_of_plain_loops(const LinearSizes& sizes, int threads) {
  const GappedMatrix<float> x(sizes.rows, sizes.inputs, 1), bias(1, sizes.outputs, 2),
      residual(sizes.rows, sizes.outputs, 3, 2);
  GappedMatrix<float> y(sizes.rows, sizes.outputs, 4, 5), other(sizes.rows, sizes.outputs, 5);
  GappedMatrix<float> wide(sizes.outputs, sizes.inputs, 6);
  const std::ptrdiff_t stride = sizes.inputs + 3;
  std::vector<simd::Bfloat16> narrow(static_cast<std::size_t>(sizes.outputs * stride));
  for (std::ptrdiff_t row = 0; row < sizes.outputs; ++row) {
    for (std::ptrdiff_t column = 0; column < sizes.inputs; ++column) {
      std::uint32_t word;
      std::memcpy(&word, &wide.at(row, column), sizeof word);
      const auto bits = static_cast<std::uint16_t>(word >> 16);
      narrow[static_cast<std::size_t>(row * stride + column)] = {bits};
      wide.at(row, column) = widened(bits);
    }
  }
  const Epilogue<float> into{bias.data.data(), residual.view(), Activation::none, {}, y.view()};
  const Epilogue<float> into_other{
      bias.data.data(), residual.view(), Activation::none, {}, other.view()};
  const Team team{threads};
  bfloat16_forward(sizes, x.view(), {narrow.data(), stride}, into, team);
  const GappedMatrix<float>& weight = wide;
  linear_forward<float>(sizes, x.view(), weight.view(), into_other, team);
  check(y.gaps_are_untouched(), "nothing is written between the rows");
  for (std::ptrdiff_t row = 0; row < sizes.rows; ++row) {
    for (std::ptrdiff_t column = 0; column < sizes.outputs; ++column) {
      check(y.at(row, column) == other.at(row, column), "the bits of linear_forward");
      Sum sum;
      for (std::ptrdiff_t k = 0; k < sizes.inputs; ++k) {
        sum.add(x.at(row, k), wide.at(column, k));
      }
      close(y.at(row, column), sum.value + bias.at(0, column) + residual.at(row, column),
            rounding<float>(sum, sizes.inputs), "x Wᵀ + bias + residual");
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  for (const std::ptrdiff_t rows : {1, 2, 5, 8, 9, 13}) {
    for (const std::ptrdiff_t inputs : {1, 7, 8, 31, 97}) {
      for (const std::ptrdiff_t outputs : {1, 17, 67}) {
        sums_are_those_of_plain_loops({rows, inputs, outputs}, 1);
      }
    }
  }
  sums_are_those_of_plain_loops({3, 97, 4001}, 3);
  sums_are_those_of_plain_loops({11, 9001, 300}, 3);  // of three parts
  return summary();
}
