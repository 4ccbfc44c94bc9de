// Products of the micro-kernel a few rows at a time, with other rows prefetched in between.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/prefetch.hpp"
#include "kernels/micro_kernel.hpp"

namespace heedful {

// Calls compute(block) for blocks of `rows` rows of the product, and prefetches in between.
template <class T, class Compute>
void in_row_blocks(const Product<T>& product, std::ptrdiff_t rows, RowPrefetch& prefetch,
                   const Compute& compute) {
  Product<T> block = product;
  for (std::ptrdiff_t row = 0; row < product.rows; row += rows) {
    block.rows = std::min(rows, product.rows - row);
    block.a = product.a + row * product.a_row;
    block.c = product.c + row * product.c_row;
    compute(block);
    prefetch.next(4);
  }
}

template <class T>
void multiply(const Product<T>& product, RowPrefetch& prefetch) {
  in_row_blocks(product, 16, prefetch, [](const Product<T>& block) { multiply(block); });
}

// In larger blocks: each block reads all vectors of B.
template <class T>
void multiply_wide(const Product<T>& product, std::ptrdiff_t columns, RowPrefetch& prefetch) {
  in_row_blocks(product, 48, prefetch,
                [=](const Product<T>& block) { multiply_wide(block, columns); });
}

}  // namespace heedful
