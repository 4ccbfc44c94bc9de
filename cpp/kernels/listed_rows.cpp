#include "kernels/listed_rows.hpp"

#include <algorithm>
#include <cstring>

#include "simd/packet.hpp"

namespace heedful {
namespace {

// Ones in the lanes of the last vector that are in no other.
template <class T>
simd::Packet<T> mask_of_last(const RowVectors<T>& vectors) {
  alignas(64) T mask[simd::lanes<T>];
  std::memset(mask, 0xFF, sizeof mask);
  std::memset(mask, 0, static_cast<std::size_t>(vectors.repeated()) * sizeof(T));
  return simd::load(mask);
}

template <class T, int Rows>
void dot_block(const T* query, const T* const (&rows)[Rows], const RowVectors<T>& vectors,
               const simd::Packet<T>& last_mask, simd::Packet<T>* sums) {
  constexpr int width = simd::lanes<T>;
  simd::Packet<T> totals[Rows];
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) totals[r] = simd::broadcast(T{0});
  const std::ptrdiff_t last = vectors.count - 1;
  for (std::ptrdiff_t v = 0; v < last; ++v) {
    const auto elements = simd::load(query + v * width);
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
      totals[r] = simd::multiply_add(elements, simd::load(rows[r] + v * width), totals[r]);
    }
  }
  const auto elements = simd::load(query + last * width);
#pragma GCC unroll 4
  for (int r = 0; r < Rows; ++r) {
    // masked, not only multiplied by zero: 0 · ∞ would be NaN
    const auto row = simd::both(simd::load(rows[r] + vectors.last), last_mask);
    sums[r] = simd::multiply_add(elements, row, totals[r]);
  }
}

template <class T, int Vectors>
void weigh_block(const T* weights, const T* const* rows, std::ptrdiff_t count,
                 const RowVectors<T>& vectors, std::ptrdiff_t first, bool accumulate, T* sum) {
  constexpr int width = simd::lanes<T>;
  std::ptrdiff_t offsets[Vectors];
  // two sums each, because an addition waits for the one before it
  simd::Packet<T> even[Vectors], odd[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    offsets[v] = vectors.offset(first + v);
    even[v] = odd[v] = simd::broadcast(T{0});
  }
  std::ptrdiff_t i = 0;
  for (; i + 2 <= count; i += 2) {
    const auto one = simd::broadcast(weights[i]), two = simd::broadcast(weights[i + 1]);
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      even[v] = simd::multiply_add(one, simd::load(rows[i] + offsets[v]), even[v]);
      odd[v] = simd::multiply_add(two, simd::load(rows[i + 1] + offsets[v]), odd[v]);
    }
  }
  if (i < count) {
    const auto one = simd::broadcast(weights[i]);
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      even[v] = simd::multiply_add(one, simd::load(rows[i] + offsets[v]), even[v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    T* const to = sum + (first + v) * width;
    const auto total = simd::add(even[v], odd[v]);
    simd::store(to, accumulate ? simd::add(simd::load(to), total) : total);
  }
}

}  // namespace

template <class T>
void dot_listed(const T* query, const T* const* rows, std::ptrdiff_t count,
                const RowVectors<T>& vectors, T* products) {
  constexpr int width = simd::lanes<T>, block = std::min(width, 4);
  if (vectors.count == 0) {
    std::fill_n(products, count, T{0});
    return;
  }
  const auto last_mask = mask_of_last(vectors);
  for (std::ptrdiff_t begin = 0; begin < count; begin += width) {
    // the sums over the lanes of a vector of rows, computed together
    simd::Packet<T> sums[width];
    for (int r = 0; r < width; r += block) {
      const T* from[block];
      for (int i = 0; i < block; ++i) from[i] = rows[std::min(begin + r + i, count - 1)];
      dot_block<T, block>(query, from, vectors, last_mask, sums + r);
    }
    simd::store(products + begin, simd::sum_lanes<T, 1, width>(sums));
  }
}

template <class T>
void weigh_listed(const T* weights, const T* const* rows, std::ptrdiff_t count,
                  const RowVectors<T>& vectors, bool accumulate, T* sum) {
  std::ptrdiff_t v = 0;
  for (; v + 4 <= vectors.count; v += 4) {
    weigh_block<T, 4>(weights, rows, count, vectors, v, accumulate, sum);
  }
  for (; v + 2 <= vectors.count; v += 2) {
    weigh_block<T, 2>(weights, rows, count, vectors, v, accumulate, sum);
  }
  if (v < vectors.count) weigh_block<T, 1>(weights, rows, count, vectors, v, accumulate, sum);
}

template void dot_listed(const float*, const float* const*, std::ptrdiff_t,
                         const RowVectors<float>&, float*);
template void dot_listed(const double*, const double* const*, std::ptrdiff_t,
                         const RowVectors<double>&, double*);
template void weigh_listed(const float*, const float* const*, std::ptrdiff_t,
                           const RowVectors<float>&, bool, float*);
template void weigh_listed(const double*, const double* const*, std::ptrdiff_t,
                           const RowVectors<double>&, bool, double*);

}  // namespace heedful
