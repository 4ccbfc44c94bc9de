// Rows of bfloat16 in blocks of 32: every element at its position, from every memory layout.
#include <vector>

#include "check.hpp"
#include "kernels/tile_panels.hpp"
#include "random_numbers.hpp"
#include "tensor.hpp"

namespace heedful {
namespace {

constexpr Layout layouts[] = {Layout::plain, Layout::heads_inside, Layout::spread,
                              Layout::columns_out, Layout::reversed};

const double untouched = Bfloat16::looked_up(0x4242);

Tensor drawn(std::ptrdiff_t rows, std::ptrdiff_t columns, Layout layout) {
  Tensor tensor(ElementType::bfloat16, {2, 3, rows, columns}, layout);
  RandomNumbers random(4);
  tensor.fill([&] { return random.exact(); });
  return tensor;
}

void rows_fill_blocks() {
  for (const Layout layout : layouts) {
    for (const std::ptrdiff_t depth : {1, 31, 32, 33, 96, 130}) {
      const std::ptrdiff_t count = 7, padded = tile_depth * tile_blocks(depth);
      const Tensor tensor = drawn(count + 1, depth, layout);
      std::vector<std::uint16_t> buffer(static_cast<std::size_t>(count * padded), 0x4242);
      const Rows<std::uint16_t> rows =
          load_tile_rows(tensor.view(), 1, 2, 1, count, depth, buffer.data());
      bool right = true;
      for (std::ptrdiff_t row = 0; row < count; ++row) {
        for (std::ptrdiff_t d = 0; d < padded; ++d) {
          const double expected = d < depth ? tensor.get(1, 2, row + 1, d) : 0;
          right &= Bfloat16::looked_up(rows.data[row * rows.stride + d]) == expected;
        }
      }
      check(right, "rows as they are, zeros past the last column");
      const bool in_place = rows.data != buffer.data();
      check(in_place == (depth % tile_depth == 0 && layout == Layout::plain),
            "in place where they fill blocks without gaps");
    }
  }
}

void rows_are_transposed() {
  for (const Layout layout : layouts) {
    for (const std::ptrdiff_t depth : {1, 3, 16, 21, 32, 37}) {
      for (const std::ptrdiff_t count : {1, 2, 9, 64, 67}) {
        for (const std::ptrdiff_t before : {0, 1, 30, 31}) {
          const std::ptrdiff_t stride = tile_depth * (tile_blocks(before + count) + 1);
          const Tensor tensor = drawn(count + 1, depth, layout);
          std::vector<std::uint16_t> to(static_cast<std::size_t>(depth * stride), 0x4242);
          transpose_tile_rows(tensor.view(), 1, 2, 1, count, depth, before, to.data(), stride);
          bool right = true;
          for (std::ptrdiff_t d = 0; d < depth; ++d) {
            for (std::ptrdiff_t at = 0; at < stride; ++at) {
              const std::ptrdiff_t row = at - before;
              const bool exists = row >= 0 && row < count;
              const double rest = at < tile_depth * tile_blocks(before + count) ? 0 : untouched;
              const double expected = exists ? tensor.get(1, 2, row + 1, d) : rest;
              right &=
                  Bfloat16::looked_up(to[static_cast<std::size_t>(d * stride + at)]) == expected;
            }
          }
          check(right, "a row of each column, zeros in the rest of its blocks, nothing past them");
        }
      }
    }
  }
}

void rows_are_copied_with_zeros_past_the_last() {
  for (const Layout layout : layouts) {
    for (const std::ptrdiff_t depth : {1, 32, 33}) {
      const std::ptrdiff_t count = 5, padded_count = 32, padded = tile_depth * tile_blocks(depth);
      const Tensor tensor = drawn(count + 1, depth, layout);
      std::vector<std::uint16_t> to(static_cast<std::size_t>(padded_count * padded), 0x4242);
      copy_tile_rows(tensor.view(), 1, 2, 1, count, depth, padded_count, to.data());
      bool right = true;
      for (std::ptrdiff_t row = 0; row < padded_count; ++row) {
        for (std::ptrdiff_t d = 0; d < padded; ++d) {
          const double expected = row < count && d < depth ? tensor.get(1, 2, row + 1, d) : 0;
          right &= Bfloat16::looked_up(to[static_cast<std::size_t>(row * padded + d)]) == expected;
        }
      }
      check(right, "rows as they are, zeros past the last row and column");
    }
  }
}

void rows_are_paired() {
  for (const Layout layout : layouts) {
    for (const std::ptrdiff_t depth : {1, 15, 16, 37, 64}) {
      for (const std::ptrdiff_t count : {1, 2, 7}) {
        for (const std::ptrdiff_t first : {std::ptrdiff_t{0}, depth / 2}) {
          const std::ptrdiff_t columns = depth - first, stride = columns + 3;
          const Tensor tensor = drawn(count + 1, depth, layout);
          const std::uint32_t gap = 0x42424242;
          std::vector<std::uint32_t> to(static_cast<std::size_t>((count + 1) / 2 * stride), gap);
          pair_tile_rows(tensor.view(), 1, 2, 1, count, first, columns, to.data(), stride);
          bool right = true;
          for (std::ptrdiff_t row = 0; row < (count + 1) / 2 * 2; ++row) {
            for (std::ptrdiff_t at = 0; at < stride; ++at) {
              const std::uint32_t word = to[static_cast<std::size_t>(row / 2 * stride + at)];
              const auto bits = static_cast<std::uint16_t>(row % 2 == 1 ? word >> 16 : word);
              const double expected = at >= columns ? untouched
                                      : row < count ? tensor.get(1, 2, row + 1, first + at)
                                                    : 0;
              right &= Bfloat16::looked_up(bits) == expected;
            }
          }
          check(right, "two rows to a word, zeros for a missing one, nothing past the columns");
        }
      }
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::rows_fill_blocks();
  heedful::rows_are_transposed();
  heedful::rows_are_copied_with_zeros_past_the_last();
  heedful::rows_are_paired();
  return heedful::summary();
}
