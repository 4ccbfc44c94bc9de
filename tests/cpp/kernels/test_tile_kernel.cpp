// Products of tiles in every block size, of bfloat16 against long double and of int8 against exact
// integers, on the model and on the instructions where they exist.
#include <cmath>
#include <cstdio>
#include <vector>

#include "check.hpp"
#include "half_bits.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/tile_kernel.hpp"
#include "random_numbers.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

constexpr float gap = -77;

std::size_t size(std::ptrdiff_t count) { return static_cast<std::size_t>(count); }

struct Example {
  std::ptrdiff_t rows, depth;
  int lanes;
  std::vector<std::uint16_t> a;
  std::vector<std::uint32_t> b;
  std::vector<float> c, maximum;
  std::ptrdiff_t a_row;

  Example(std::ptrdiff_t rows_, std::ptrdiff_t blocks, int lanes_)
      : rows(rows_),
        depth(blocks * tile_depth),
        lanes(lanes_),
        a_row(depth + 5) {  // odd, as the rows of a slice may be apart
    RandomNumbers random(static_cast<std::uint64_t>(rows * 1000 + depth));
    const auto number = [&] { return Bfloat16::nearest(random.between(-1, 1)); };
    a.resize(size(rows == 0 ? 0 : (rows - 1) * a_row + depth));
    for (auto& element : a) element = number();
    b.resize(size(depth / 2 * lanes));
    for (auto& word : b) word = number() | static_cast<std::uint32_t>(number()) << 16;
    c.assign(size(rows * lanes + 1), gap);
    maximum.assign(size(lanes), -1.0f);
  }

  TileProduct product() {
    TileProduct product{};
    product.rows = rows;
    product.blocks = depth / tile_depth;
    product.lanes = lanes;
    product.a = a.data();
    product.a_row = a_row;
    product.b = b.data();
    product.c = c.data();
    return product;
  }

  long double sum(std::ptrdiff_t row, std::ptrdiff_t lane) const {
    long double total = 0;
    for (std::ptrdiff_t k = 0; k < depth; ++k) {
      const std::uint32_t word = b[size(k / 2 * lanes + lane)];
      total += static_cast<long double>(Bfloat16::looked_up(a[size(row * a_row + k)])) *
               Bfloat16::looked_up(static_cast<std::uint16_t>(k % 2 == 1 ? word >> 16 : word));
    }
    return total;
  }

  bool holds(double before, double factor) const {
    bool right = c.back() == gap;
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      for (std::ptrdiff_t lane = 0; lane < lanes; ++lane) {
        const double expected = before + factor * static_cast<double>(sum(row, lane));
        const double made = static_cast<double>(c[size(row * lanes + lane)]);
        right &= std::abs(made - expected) <= 1e-6 * static_cast<double>(depth + 80);
      }
    }
    return right;
  }
  bool maximum_holds() const {
    bool right = true;
    for (std::ptrdiff_t lane = 0; lane < lanes; ++lane) {
      float expected = -1;
      for (std::ptrdiff_t row = 0; row < rows; ++row) {
        expected = std::fmax(expected, c[size(row * lanes + lane)]);
      }
      right &= maximum[size(lane)] == expected;
    }
    return right;
  }
};

template <class Tiles>
void every_block_is_right() {
  Tiles tiles;
  for (std::ptrdiff_t rows = 0; rows <= 49; rows += rows == 17 ? 14 : 1) {
    for (int vectors = 1; vectors <= max_vectors; ++vectors) {
      for (const std::ptrdiff_t blocks : {0, 1, 4}) {
        Example example(rows, blocks, vectors * simd::lanes<float>);
        TileProduct product = example.product();
        product.factor = -0.5f;
        product.maximum = example.maximum.data();
        multiply(tiles, product);
        bool right = check(example.holds(0, -0.5), "C = factor · A B");
        right &= check(example.maximum_holds(), "the maximum is that of the stored elements");
        std::fill(example.c.begin(), example.c.end(), gap);
        product.accumulate = true;
        multiply(tiles, product);
        right &= check(example.holds(static_cast<double>(gap), 1), "C += A B");
        if (!right) std::printf("at %td rows, %td blocks, %d vectors\n", rows, blocks, vectors);
      }
    }
  }
}

// Element: that of A; B is signed.
template <class Tiles, class Element>
void integers_are_exact() {
  Tiles tiles;
  for (const std::ptrdiff_t rows : {1, 15, 16, 17, 35}) {
    for (int vectors = 1; vectors <= max_vectors; ++vectors) {
      for (const std::ptrdiff_t blocks : {1, 3}) {
        const int lanes = vectors * simd::lanes<float>;
        const std::ptrdiff_t depth = 64 * blocks, a_row = depth + 3;
        RandomNumbers random(5);
        std::vector<Element> a(size((rows - 1) * a_row + depth));
        for (auto& element : a) element = static_cast<Element>(random.bits());
        std::vector<std::uint32_t> b(size(depth / 4 * lanes));
        for (auto& word : b) word = static_cast<std::uint32_t>(random.bits());
        std::vector<std::int32_t> c(size(rows * lanes), 11);
        TileProductOf<Element> product{};
        product.rows = rows;
        product.blocks = blocks;
        product.lanes = lanes;
        product.a = a.data();
        product.a_row = a_row;
        product.b = b.data();
        product.c = c.data();
        product.accumulate = blocks == 3;
        multiply(tiles, product);
        bool right = true;
        for (std::ptrdiff_t row = 0; row < rows; ++row) {
          for (std::ptrdiff_t lane = 0; lane < lanes; ++lane) {
            std::int64_t sum = product.accumulate ? 11 : 0;
            for (std::ptrdiff_t k = 0; k < depth; ++k) {
              const std::uint32_t word = b[size(k / 4 * lanes + lane)] >> (8 * (k % 4));
              sum += std::int64_t{a[size(row * a_row + k)]} * static_cast<std::int8_t>(word & 0xFF);
            }
            right &= c[size(row * lanes + lane)] == sum;
          }
        }
        if (!check(right, "C = A B and C += A B of bytes")) {
          std::printf("at %td rows, %td blocks, %d vectors\n", rows, blocks, vectors);
        }
      }
    }
  }
}

// A row's sums do not depend on the rows and lanes beside it.
void an_element_has_the_same_bits_in_every_block() {
  simd::TileModel tiles;
  Example whole(49, 3, max_vectors * simd::lanes<float>);
  multiply(tiles, whole.product());
  bool same = true;
  for (std::ptrdiff_t row = 0; row < whole.rows; ++row) {
    std::vector<float> alone(size(whole.lanes), gap);
    TileProduct product = whole.product();
    product.rows = 1;
    product.a += row * whole.a_row;
    product.c = alone.data();
    multiply(tiles, product);
    for (int lane = 0; lane < whole.lanes; ++lane) {
      same &= alone[size(lane)] == whole.c[size(row * whole.lanes + lane)];
    }
  }
  check(same, "an element has the same bits in every block");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  every_block_is_right<simd::TileModel>();
  an_element_has_the_same_bits_in_every_block();
  integers_are_exact<simd::TileModel, std::int8_t>();
  integers_are_exact<simd::TileModel, std::uint8_t>();
#ifdef HEEDFUL_TILES
  if (simd::has_bfloat16_tiles()) every_block_is_right<simd::TileRegisters>();
  if (simd::has_int8_tiles()) {
    integers_are_exact<simd::TileRegisters, std::int8_t>();
    integers_are_exact<simd::TileRegisters, std::uint8_t>();
  }
#endif
  if (!simd::has_bfloat16_tiles()) std::puts("no tiles on this processor: only their model");
  return summary();
}
