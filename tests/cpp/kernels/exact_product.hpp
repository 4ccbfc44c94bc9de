// Products of words of integers, exactly.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace heedful {

// Whether c (rows, lanes) begins with the product of a's rows, a_row elements apart, `depth`
// elements of each, and b, [word][lane].
template <class A, class B>
bool is_exact_product(const std::vector<A>& a, std::size_t a_row, const std::vector<B>& b,
                      std::size_t rows, std::size_t lanes, std::size_t depth,
                      const std::vector<std::int32_t>& c) {
  constexpr std::size_t in_word = 4 / sizeof(B);
  bool exact = true;
  for (std::size_t row = 0; row < rows; ++row) {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      std::int64_t sum = 0;
      for (std::size_t k = 0; k < depth; ++k) {
        const B element = b[(k / in_word * lanes + lane) * in_word + k % in_word];
        sum += std::int64_t{a[row * a_row + k]} * element;
      }
      exact &= c[row * lanes + lane] == sum;
    }
  }
  return exact;
}

}  // namespace heedful
