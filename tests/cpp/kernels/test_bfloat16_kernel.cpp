// Products of pairs of bfloat16 in every block size, against long double, and their operands.
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

#include "check.hpp"
#include "half_bits.hpp"
#include "kernels/bfloat16_kernel.hpp"
#include "kernels/bfloat16_panels.hpp"
#include "kernels/micro_kernel.hpp"
#include "random_numbers.hpp"
#include "simd/bfloat16_pairs.hpp"
#include "tensor.hpp"

namespace heedful {
namespace {

constexpr float gap = -77;

double half_of(std::uint32_t word, bool odd) {
  return Bfloat16::looked_up(static_cast<std::uint16_t>(odd ? word >> 16 : word));
}

// Rows one after the other as for scores, or interleaved in pairs as for values.
struct Example {
  std::ptrdiff_t rows, pairs, width;
  bool interleaved;
  std::vector<std::uint16_t> a;
  std::vector<std::uint32_t> b;
  std::vector<float> c;
  std::ptrdiff_t a_row, a_step;

  // `missing`: number of padding columns in the last vector
  Example(std::ptrdiff_t rows_, std::ptrdiff_t pairs_, int vectors, bool interleaved_,
          int missing = 0)
      : rows(rows_),
        pairs(pairs_),
        width(vectors * simd::lanes<float> - missing),
        interleaved(interleaved_) {
    RandomNumbers random(static_cast<std::uint64_t>(rows * 1000 + pairs));
    a_row = interleaved ? 2 : 2 * pairs + 3;  // odd, as the rows of a slice may be apart
    a_step = interleaved ? 2 * rows : 2;
    const auto size = [](std::ptrdiff_t count) { return static_cast<std::size_t>(count); };
    a.resize(size(rows * pairs * 2 + 3 * rows));
    for (auto& element : a) element = Bfloat16::nearest(random.between(-1, 1));
    b.resize(size(pairs * width));
    for (auto& word : b) {
      word = Bfloat16::nearest(random.between(-1, 1)) |
             static_cast<std::uint32_t>(Bfloat16::nearest(random.between(-1, 1))) << 16;
    }
    c.assign(size(rows * (width + 1)), gap);
  }

  PairProduct product() {
    const int vectors = static_cast<int>(width) / simd::lanes<float>;
    return {rows, pairs, vectors, a.data(), a_row, a_step, b.data(), width, c.data(), width + 1};
  }

  // Over the elements that `seen` selects (all if null).
  long double sum(std::ptrdiff_t row, std::ptrdiff_t lane, const std::uint32_t* seen) const {
    long double total = 0;
    for (std::ptrdiff_t k = 0; k < pairs; ++k) {
      for (const bool odd : {false, true}) {
        const auto at = static_cast<std::size_t>(row * a_row + k * a_step + (odd ? 1 : 0));
        if (seen && half_of(seen[k * width + lane], odd) == 0) continue;
        total += static_cast<long double>(Bfloat16::looked_up(a[at])) *
                 half_of(b[static_cast<std::size_t>(k * width + lane)], odd);
      }
    }
    return total;
  }

  bool holds(double before, double factor, const std::uint32_t* seen = nullptr) const {
    bool right = true;
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      for (std::ptrdiff_t lane = 0; lane <= width; ++lane) {
        const double made = c[static_cast<std::size_t>(row * (width + 1) + lane)];
        const double expected = lane == width
                                    ? static_cast<double>(gap)
                                    : before + factor * static_cast<double>(sum(row, lane, seen));
        const double allowed = lane == width ? 0 : 1e-6 * static_cast<double>(2 * pairs + 80);
        right &= std::abs(made - expected) <= allowed;
      }
    }
    return right;
  }
};

[[maybe_unused]] void every_block_is_right() {
  for (std::ptrdiff_t rows = 1; rows <= 17; ++rows) {
    for (int vectors = 1; vectors <= max_vectors; ++vectors) {
      for (const std::ptrdiff_t pairs : {0, 1, 5, 67}) {
        for (const bool interleaved : {false, true}) {
          Example example(rows, pairs, vectors, interleaved);
          PairProduct product = example.product();
          std::vector<float> maximum(static_cast<std::size_t>(example.width), -1.0f);
          product.factor = -0.5f;
          product.maximum = maximum.data();
          multiply(product);
          bool right = check(example.holds(0, -0.5), "C = factor · A B");
          bool raised = true;
          for (std::ptrdiff_t lane = 0; lane < example.width; ++lane) {
            float expected = -1;
            for (std::ptrdiff_t row = 0; row < rows; ++row) {
              expected = std::fmax(
                  expected, example.c[static_cast<std::size_t>(row * (example.width + 1) + lane)]);
            }
            raised &= maximum[static_cast<std::size_t>(lane)] == expected;
          }
          right &= check(raised, "the maximum is that of the stored elements");
          std::fill(example.c.begin(), example.c.end(), gap);
          product.accumulate = true;
          multiply(product);
          right &= check(example.holds(gap, 1), "C += A B");
          if (!right) std::printf("at %td rows, %td pairs, %d vectors\n", rows, pairs, vectors);
        }
      }
    }
  }
}

[[maybe_unused]] void wide_products_are_right() {
  for (const std::ptrdiff_t rows : {1, 2, 5, 6, 7, 13}) {
    for (int vectors = 1; vectors <= 9; ++vectors) {
      Example example(rows, 5, vectors, true, vectors == 1 ? 0 : static_cast<int>(rows));
      PairProduct product = example.product();
      std::vector<float> factors(static_cast<std::size_t>(rows));
      for (std::size_t row = 0; row < factors.size(); ++row) {
        factors[row] = row % 3 == 0 ? 4.0f : -0.5f;  // exact, so that dividing takes them out
      }
      product.row_factors = factors.data();
      multiply_wide(product, example.width);
      for (std::ptrdiff_t i = 0; i < rows * (example.width + 1); ++i) {
        if (i % (example.width + 1) == example.width) continue;
        example.c[static_cast<std::size_t>(i)] /=
            factors[static_cast<std::size_t>(i / (example.width + 1))];
      }
      check(example.holds(0, 1), "C = A B · row_factors, up to the maximum width");
    }
  }
}

[[maybe_unused]] void what_is_not_seen_is_left_out() {
  Example clean(7, 9, 2, true);
  Example example(7, 9, 2, true);
  RandomNumbers random(3);
  // the odd key of pair 4 holds NaN and is seen by no lane; others are seen at random
  std::vector<std::uint32_t> seen;
  for (std::size_t i = 0; i < example.b.size(); ++i) {
    std::uint32_t mask = (random.bits() % 2 ? 0xFFFFu : 0u) | (random.bits() % 2 ? ~0xFFFFu : 0u);
    if (static_cast<std::ptrdiff_t>(i) / example.width == 4) mask &= 0xFFFFu;
    seen.push_back(mask);
    clean.b[i] = example.b[i] &= mask;  // hidden keys have weight 0
  }
  for (std::ptrdiff_t row = 0; row < 7; ++row) {
    example.a[static_cast<std::size_t>(row * example.a_row + 4 * example.a_step + 1)] = 0x7FC0;
  }
  PairProduct product = example.product();
  multiply_seen(product, seen.data());
  PairProduct plain = clean.product();
  plain.accumulate = true;
  multiply(plain);
  check(example.c == clean.c, "without NaN: the bits of the plain product");
}

[[maybe_unused]] void keys_that_are_missing_or_hidden_are_not_seen() {
  constexpr int lanes = 2 * simd::lanes<float>;
  for (const std::ptrdiff_t keys : {1, 2, 3, 8}) {
    for (const bool begins_odd : {false, true}) {
      std::vector<float> scores(static_cast<std::size_t>((keys + 1) * lanes), 0.5f);
      scores[3] = -std::numeric_limits<float>::infinity();
      std::vector<std::uint32_t> seen(scores.size());
      pair_seen(scores.data(), keys, lanes, begins_odd, seen.data());
      const std::ptrdiff_t pairs = (keys + (begins_odd ? 1 : 0) + 1) / 2;
      bool shows = true;
      for (std::ptrdiff_t at = 0; at < 2 * pairs * lanes; ++at) {
        const std::ptrdiff_t key = at / lanes - (begins_odd ? 1 : 0), lane = at % lanes;
        const auto word = seen[static_cast<std::size_t>(at / lanes / 2 * lanes + lane)];
        const bool there = key >= 0 && key < keys && !(key == 0 && lane == 3);
        const std::uint32_t half = at / lanes % 2 == 1 ? word >> 16 : word & 0xFFFFu;
        shows &= half == (there ? 0xFFFFu : 0u);
      }
      check(shows, "missing keys and scores of −∞ are not seen");
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
#if HEEDFUL_BFLOAT16_PAIRS
  if (heedful::simd::has_bfloat16_pairs()) {
    heedful::every_block_is_right();
    heedful::wide_products_are_right();
    heedful::what_is_not_seen_is_left_out();
    heedful::keys_that_are_missing_or_hidden_are_not_seen();
    return heedful::summary();
  }
#endif
  std::puts("no pairs of bfloat16 at this level or on this processor");
}
