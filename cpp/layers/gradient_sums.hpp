// Sums over keys and over queries from which the gradients of linear attention are computed, in the
// letters of linear_attention.hpp.
#pragma once

#include "arrays/rows.hpp"
#include "layers/chunk_products.hpp"
#include "layers/linear_attention.hpp"

namespace heedful {

// What the gradient of a query needs of the keys that it sees: Sᵀ = Σ v φ(k)ᵀ, then z.
template <class T>
struct KeySide {
  Matrix<T> values;  // (Dv, D rounded up to full vectors)
  T* features;       // (D, likewise)

  KeySide(const LinearAttention& call, T* memory)
      : values{memory, padded<T>(call.depth)},
        features(memory + call.value_depth * values.stride) {}

  static std::ptrdiff_t size(const LinearAttention& call) {
    return (call.value_depth + 1) * padded<T>(call.depth);
  }

  void add(const LinearAttention& call, std::ptrdiff_t count, Matrix<T> key, Matrix<T> value) {
    add_outer(count, value, call.value_depth, key, values);
    add_rows<T>(count, key, nullptr, features);
  }
};

// What the gradients of a key and its value need of the queries that see it: G = Σ φ(q) gᵀ, Gᵀ, and
// Σ h φ(q). Both layouts of G are summed: each is B of a product.
template <class T>
struct QuerySide {
  Matrix<T> values;      // G (D, Dv rounded up to full vectors)
  Matrix<T> transposed;  // (Dv, D likewise)
  T* features;           // (D, likewise)

  QuerySide(const LinearAttention& call, T* memory)
      : values{memory, padded<T>(call.value_depth)},
        transposed{memory + call.depth * values.stride, padded<T>(call.depth)},
        features(transposed.row(call.value_depth)) {}

  static std::ptrdiff_t size(const LinearAttention& call) {
    return call.depth * padded<T>(call.value_depth) +
           (call.value_depth + 1) * padded<T>(call.depth);
  }

  void add(const LinearAttention& call, std::ptrdiff_t count, Matrix<T> query, Matrix<T> g,
           const T* h) {
    add_outer(count, query, call.depth, g, values);
    add_outer(count, g, call.value_depth, query, transposed);
    add_rows(count, query, h, features);
  }
};

}  // namespace heedful
