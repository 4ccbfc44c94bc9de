// Rows of bfloat16 in words of two: every element at its position, from every memory layout.
#include <vector>

#include "check.hpp"
#include "kernels/bfloat16_panels.hpp"
#include "random_numbers.hpp"
#include "simd/packet.hpp"
#include "tensor.hpp"

namespace heedful {
namespace {

constexpr Layout layouts[] = {Layout::plain, Layout::heads_inside, Layout::spread,
                              Layout::columns_out, Layout::reversed};

Tensor drawn(std::ptrdiff_t rows, std::ptrdiff_t columns, Layout layout) {
  Tensor tensor(ElementType::bfloat16, {2, 3, rows, columns}, layout);
  RandomNumbers random(4);
  tensor.fill([&] { return random.exact(); });
  return tensor;
}

double low(std::uint32_t word) { return Bfloat16::looked_up(static_cast<std::uint16_t>(word)); }
double high(std::uint32_t word) { return low(word >> 16); }

void columns_are_paired() {
  constexpr std::ptrdiff_t lanes = 2 * simd::lanes<float>;
  for (const Layout layout : layouts) {
    for (const std::ptrdiff_t depth : {1, 2, 7, 8, 31, 32, 34, 45, 66}) {
      const Tensor tensor = drawn(lanes + 2, depth, layout);
      std::vector<std::uint16_t> buffer(static_cast<std::size_t>(lanes * (depth + 1)), 0x4242);
      const Rows<std::uint16_t> rows =
          load_paired_columns(tensor.view(), 1, 2, 1, lanes, depth, buffer.data());
      const std::uint16_t* from[lanes];
      for (std::ptrdiff_t lane = 0; lane < lanes; ++lane)
        from[lane] = rows.data + lane * rows.stride;
      std::vector<std::uint32_t> panel(static_cast<std::size_t>(pairs_of(depth) * lanes));
      words_to_panel(from, lanes, pairs_of(depth), panel.data());
      bool right = true;
      for (std::ptrdiff_t d = 0; d < 2 * pairs_of(depth); ++d) {
        for (std::ptrdiff_t lane = 0; lane < lanes; ++lane) {
          const std::uint32_t word = panel[static_cast<std::size_t>(d / 2 * lanes + lane)];
          const double expected = d < depth ? tensor.get(1, 2, lane + 1, d) : 0;
          right &= (d % 2 ? high(word) : low(word)) == expected;
        }
      }
      check(right, "a panel has two columns per word, zeros past the last");
    }
  }
}

void rows_are_paired() {
  for (const Layout layout : layouts) {
    for (const std::ptrdiff_t count : {1, 2, 9, 10}) {
      const std::ptrdiff_t depth = 37;
      const Tensor tensor = drawn(count + 1, depth, layout);
      std::vector<std::uint32_t> words(static_cast<std::size_t>(pairs_of(count) * depth));
      load_paired_rows(tensor.view(), 1, 2, 1, count, depth, words.data());
      bool right = true;
      for (std::ptrdiff_t row = 0; row < 2 * pairs_of(count); ++row) {
        for (std::ptrdiff_t d = 0; d < depth; ++d) {
          const std::uint32_t word = words[static_cast<std::size_t>(row / 2 * depth + d)];
          const double expected = row < count ? tensor.get(1, 2, row + 1, d) : 0;
          right &= (row % 2 ? high(word) : low(word)) == expected;
        }
      }
      check(right, "a word has a column of two rows, zeros past the last");
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::columns_are_paired();
  heedful::rows_are_paired();
  return heedful::summary();
}
