// A product of the micro-kernel with random operands, and what is right about its result.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "kernels/micro_kernel.hpp"
#include "random_numbers.hpp"
#include "simd/packet.hpp"

namespace heedful {

enum class Ending { store, accumulate, maximum, row_factors };

// Which of B and C have their rows side by side.
enum class SideBySide { none, b, b_and_c };

struct Sizes {
  std::ptrdiff_t rows, depth;
  int vectors;
  bool contiguous_rows;  // a_row is 1, as where A is read transposed
  Ending ending;
  int missing = 0;  // padding columns in the last vector
  SideBySide side_by_side = SideBySide::none;
};

// A product on memory of exactly its size, with NaN wherever there are gaps between the rows.
template <class T>
struct Example {
  Sizes sizes;
  std::ptrdiff_t width;  // elements of a row of B and C
  std::ptrdiff_t a_row, a_step, b_step, c_row;
  std::vector<T> a, b, c, before, maximum, row_factors;

  explicit Example(const Sizes& given, std::uint64_t seed) : sizes(given) {
    const T gap = std::numeric_limits<T>::quiet_NaN();
    width = sizes.vectors * simd::lanes<T> - sizes.missing;
    a_row = sizes.contiguous_rows ? 1 : sizes.depth + 3;
    a_step = sizes.contiguous_rows ? sizes.rows + 2 : 1;
    b_step = sizes.side_by_side == SideBySide::none ? width + 5 : width;
    c_row = sizes.side_by_side == SideBySide::b_and_c ? width : width + 1;
    a.assign(extent((sizes.rows - 1) * a_row + (sizes.depth - 1) * a_step), gap);
    b.assign(extent((sizes.depth - 1) * b_step + width - 1), gap);
    c.assign(static_cast<std::size_t>((sizes.rows - 1) * c_row + width), gap);
    RandomNumbers random(seed);
    const auto random_element = [&] { return static_cast<T>(random.between(-1, 1)); };
    for (std::ptrdiff_t k = 0; k < sizes.depth; ++k) {
      for (std::ptrdiff_t row = 0; row < sizes.rows; ++row) {
        at(a, row * a_row + k * a_step) = random_element();
      }
      for (std::ptrdiff_t lane = 0; lane < width; ++lane)
        at(b, k * b_step + lane) = random_element();
    }
    for (std::ptrdiff_t row = 0; row < sizes.rows; ++row) {
      for (std::ptrdiff_t lane = 0; lane < width; ++lane)
        at(c, row * c_row + lane) = random_element();
    }
    before = c;
    for (std::ptrdiff_t row = 0; row < sizes.rows; ++row) row_factors.push_back(random_element());
    // lanes that start below everything, in between, and above everything
    const T starts[] = {-std::numeric_limits<T>::infinity(), T(0.1), T(1000)};
    for (std::ptrdiff_t lane = 0; lane < width; ++lane) maximum.push_back(starts[lane % 3]);
  }

  std::size_t extent(std::ptrdiff_t last) const {
    return sizes.depth == 0 ? 0 : static_cast<std::size_t>(last + 1);
  }
  static T& at(std::vector<T>& values, std::ptrdiff_t i) {
    return values[static_cast<std::size_t>(i)];
  }
  static T at(const std::vector<T>& values, std::ptrdiff_t i) {
    return values[static_cast<std::size_t>(i)];
  }

  Product<T> product() {
    return {sizes.rows,
            sizes.depth,
            sizes.vectors,
            a.data(),
            a_row,
            a_step,
            b.data(),
            b_step,
            c.data(),
            c_row,
            sizes.ending == Ending::accumulate,
            sizes.ending == Ending::maximum ? maximum.data() : nullptr,
            sizes.ending == Ending::row_factors ? row_factors.data() : nullptr};
  }
  void run() { multiply(product()); }
  void run_wide() { multiply_wide(product(), width); }

  bool product_is_right() const {
    for (std::ptrdiff_t row = 0; row < sizes.rows; ++row) {
      for (std::ptrdiff_t lane = 0; lane < width; ++lane) {
        long double sum = 0, magnitude = 1;
        for (std::ptrdiff_t k = 0; k < sizes.depth; ++k) {
          const long double term =
              static_cast<long double>(at(a, row * a_row + k * a_step)) * at(b, k * b_step + lane);
          sum += term;
          magnitude += std::abs(term);
        }
        if (sizes.ending == Ending::row_factors) sum *= at(row_factors, row);
        if (sizes.ending == Ending::accumulate) sum += at(before, row * c_row + lane);
        const long double error = std::abs(at(c, row * c_row + lane) - sum);
        const long double allowed = static_cast<long double>(sizes.depth + 1) *
                                    std::numeric_limits<T>::epsilon() * magnitude;
        if (!(error <= allowed)) return false;
      }
    }
    return true;
  }

  bool maximum_is_right() const {
    const T starts[] = {-std::numeric_limits<T>::infinity(), T(0.1), T(1000)};
    for (std::ptrdiff_t lane = 0; lane < width; ++lane) {
      T expected = starts[lane % 3];
      for (std::ptrdiff_t row = 0; row < sizes.rows && sizes.ending == Ending::maximum; ++row) {
        expected = std::fmax(expected, at(c, row * c_row + lane));
      }
      if (at(maximum, lane) != expected) return false;
    }
    return true;
  }

  bool gaps_are_untouched() const {
    for (std::size_t i = 0; i < c.size(); ++i) {
      if (static_cast<std::ptrdiff_t>(i) % c_row >= width && !std::isnan(c[i])) return false;
    }
    return true;
  }
};

}  // namespace heedful
