#include "layers/chunk_products.hpp"

#include <algorithm>
#include <array>

#include "arrays/panel_transposes.hpp"
#include "arrays/row_loop.hpp"
#include "arrays/rows.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/nonfinite.hpp"

namespace heedful {
namespace {

// Rows of scores that are computed together. Within them a row's score of a later one is 0.
constexpr std::ptrdiff_t block_rows = 16;

// 0 · NaN and 0 · ∞ are NaN: where a row holds one, each row of scores is computed alone.
template <class T>
std::ptrdiff_t safe_block_rows(std::ptrdiff_t count, Matrix<T> rows) {
  return all_finite(Rows<T>{rows.data, rows.stride}, count, rows.stride) ? block_rows : 1;
}

}  // namespace

template <class T>
void multiply_rows(std::ptrdiff_t count, Matrix<T> x, std::ptrdiff_t depth, Matrix<T> m,
                   Matrix<T> y) {
  multiply_wide<T>({count, depth, 0, x.data, x.stride, 1, m.data, m.stride, y.data, y.stride},
                   y.stride);
}

template <class T>
void add_outer(std::ptrdiff_t count, Matrix<T> x, std::ptrdiff_t columns, Matrix<T> y,
               Matrix<T> sum) {
  multiply_wide<T>(
      {columns, count, 0, x.data, 1, x.stride, y.data, y.stride, sum.data, sum.stride, true},
      y.stride);
}

template <class T>
void add_rows(std::ptrdiff_t count, Matrix<T> x, const T* factors, T* sum) {
  for (std::ptrdiff_t column = 0; column < x.stride; column += simd::lanes<T>) {
    auto total = simd::broadcast(T{0});
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      const auto element = simd::load(x.row(i) + column);
      total = factors ? simd::multiply_add(simd::broadcast(factors[i]), element, total)
                      : simd::add(element, total);
    }
    simd::store(sum + column, simd::add(simd::load(sum + column), total));
  }
}

template <class T>
Matrix<T> transpose_chunk(std::ptrdiff_t count, Matrix<T> x, T* panel) {
  const std::ptrdiff_t lanes = padded<T>(count);
  std::fill(x.row(count), x.row(lanes), T{0});
  std::array<const T*, chunk_rows> rows;
  for (std::ptrdiff_t i = 0; i < lanes; ++i) rows[static_cast<std::size_t>(i)] = x.row(i);
  rows_to_panel<T, T>(rows.data(), lanes, x.stride, T{1}, panel);
  return {panel, lanes};
}

template <class T>
void LowerScores<T>::compute(Matrix<T> x, std::ptrdiff_t depth, Matrix<T> transposed_y,
                             const T* shifts) const {
  for (std::ptrdiff_t begin = 0; begin < count; begin += block_rows) {
    const std::ptrdiff_t end = std::min(begin + block_rows, count);
    multiply_wide<T>({end - begin, depth, 0, x.row(begin), x.stride, 1, transposed_y.data,
                      transposed_y.stride, scores.row(begin), scores.stride},
                     padded<T>(end));
    for (std::ptrdiff_t i = begin; i < end; ++i) {
      T* const row = scores.row(i);
      if (shifts) {
        for_each_element<T>(
            i + 1, [&](auto at) { at.store(row, simd::add(at.load(row), at.all(shifts[i]))); });
      }
      std::fill(row + i + 1, row + end, T{0});
    }
  }
}

template <class T>
T LowerScores<T>::row_sum(std::ptrdiff_t i) const {
  return sum_elements<T>(i + 1, [&](auto at) { return at.load(scores.row(i)); });
}

template <class T>
void LowerScores<T>::add_to_queries(Matrix<T> y, Matrix<T> out) const {
  const std::ptrdiff_t block = safe_block_rows(count, y);
  for (std::ptrdiff_t begin = 0; begin < count; begin += block) {
    const std::ptrdiff_t end = std::min(begin + block, count);
    multiply_wide<T>({end - begin, end, 0, scores.row(begin), scores.stride, 1, y.data, y.stride,
                      out.row(begin), out.stride, true},
                     out.stride);
  }
}

template <class T>
void LowerScores<T>::add_to_keys(Matrix<T> x, Matrix<T> out) const {
  const std::ptrdiff_t block = safe_block_rows(count, x);
  for (std::ptrdiff_t begin = 0; begin < count; begin += block) {
    const std::ptrdiff_t end = std::min(begin + block, count);
    multiply_wide<T>({end - begin, count - begin, 0, scores.row(begin) + begin, 1, scores.stride,
                      x.row(begin), x.stride, out.row(begin), out.stride, true},
                     out.stride);
  }
}

template void multiply_rows(std::ptrdiff_t, Matrix<float>, std::ptrdiff_t, Matrix<float>,
                            Matrix<float>);
template void multiply_rows(std::ptrdiff_t, Matrix<double>, std::ptrdiff_t, Matrix<double>,
                            Matrix<double>);
template void add_outer(std::ptrdiff_t, Matrix<float>, std::ptrdiff_t, Matrix<float>,
                        Matrix<float>);
template void add_outer(std::ptrdiff_t, Matrix<double>, std::ptrdiff_t, Matrix<double>,
                        Matrix<double>);
template void add_rows(std::ptrdiff_t, Matrix<float>, const float*, float*);
template void add_rows(std::ptrdiff_t, Matrix<double>, const double*, double*);
template Matrix<float> transpose_chunk(std::ptrdiff_t, Matrix<float>, float*);
template Matrix<double> transpose_chunk(std::ptrdiff_t, Matrix<double>, double*);
template struct LowerScores<float>;
template struct LowerScores<double>;

}  // namespace heedful
