// Dot products of few quantised rows with rows of int8, against exact integers.
#include <cstdio>
#include <vector>

#include "check.hpp"
#include "kernels/int8_dot.hpp"
#include "random_numbers.hpp"
#include "simd/integer_dots.hpp"

namespace heedful {
namespace {

std::size_t size(std::ptrdiff_t count) { return static_cast<std::size_t>(count); }

constexpr std::int32_t gap = -77;

template <class Q>
void sums_are_exact(void (*dot)(const Int8Dots<Q>&)) {
  constexpr std::ptrdiff_t elements = dot_elements(sizeof(Q));
  for (const bool extreme : {false, true}) {
    for (std::ptrdiff_t rows = 1; rows <= 9; ++rows) {
      for (const std::ptrdiff_t outputs : {1, 2, 3, 4, 5, 11}) {
        for (const std::ptrdiff_t depth :
             {elements, elements + 1, 2 * elements - 1, 5 * elements}) {
          const DotVectors vectors(depth, elements);
          const std::ptrdiff_t stride = depth + 3, padded_rows = (rows + 3) / 4 * 4;
          RandomNumbers random(static_cast<std::uint64_t>(depth));
          std::vector<std::int8_t> weight(size(outputs * stride));
          for (auto& element : weight) {
            element = static_cast<std::int8_t>(extreme ? -128 : int(random.bits() % 256) - 128);
          }
          std::vector<int> x(size(rows * depth));
          for (auto& element : x) element = extreme ? 255 : int(random.bits() % 256);
          std::vector<Q> q(size(padded_rows * vectors.size()), 0);
          for (std::ptrdiff_t row = 0; row < rows; ++row) {
            for (std::ptrdiff_t k = 0; k < depth; ++k) {
              const bool in_last = k >= (vectors.count - 1) * elements;
              const std::ptrdiff_t place = in_last ? k + vectors.repeated() : k;
              q[size(row * vectors.size() + place)] = static_cast<Q>(x[size(row * depth + k)]);
            }
          }
          std::vector<std::int32_t> sums(size(rows * (outputs + 2)), gap);
          dot({q.data(),
               rows,
               vectors,
               {weight.data(), stride},
               outputs,
               8,
               sums.data(),
               outputs + 2});
          bool right = true;
          for (std::ptrdiff_t row = 0; row < rows; ++row) {
            for (std::ptrdiff_t output = 0; output < outputs + 2; ++output) {
              std::int64_t sum = output < outputs ? 0 : gap;
              for (std::ptrdiff_t k = 0; output < outputs && k < depth; ++k) {
                sum += std::int64_t{x[size(row * depth + k)]} * weight[size(output * stride + k)];
              }
              right &= sums[size(row * (outputs + 2) + output)] == sum;
            }
          }
          if (!check(right, "sums = q · weight, exactly, and nothing else is written")) {
            std::printf("at %td rows, %td outputs, depth %td\n", rows, outputs, depth);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  sums_are_exact<std::int16_t>(dot_int16);
  if (simd::has_vnni()) {
    sums_are_exact<std::uint8_t>(dot_bytes);
  } else {
    std::puts("no VNNI at this level or on this processor");
  }
  return summary();
}
