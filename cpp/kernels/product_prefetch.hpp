// Products of the micro-kernel a few rows at a time, between which other rows are prefetched.
#pragma once

#include <algorithm>
#include <cstddef>

#include "arrays/prefetch.hpp"
#include "kernels/micro_kernel.hpp"

namespace heedful {

// Calls compute(part) with the rows of the product, a few at a time, and prefetches in between.
template <class T, class Compute>
void in_parts(const Product<T>& product, std::ptrdiff_t rows, RowPrefetch& prefetch,
              const Compute& compute) {
  Product<T> part = product;
  for (std::ptrdiff_t row = 0; row < product.rows; row += rows) {
    part.rows = std::min(rows, product.rows - row);
    part.a = product.a + row * product.a_row;
    part.c = product.c + row * product.c_row;
    compute(part);
    prefetch.next(4);
  }
}

template <class T>
void multiply(const Product<T>& product, RowPrefetch& prefetch) {
  in_parts(product, 16, prefetch, [](const Product<T>& part) { multiply(part); });
}

// In longer parts: all vectors of B pass by in each.
template <class T>
void multiply_wide(const Product<T>& product, std::ptrdiff_t columns, RowPrefetch& prefetch) {
  in_parts(product, 48, prefetch, [=](const Product<T>& part) { multiply_wide(part, columns); });
}

}  // namespace heedful
