// A dense layer of few rows: y = x Wᵀ with the lanes over In. The weight, of T or of bfloat16,
// which is widened in registers, is read once, in place, at memory bandwidth.
#pragma once

#include <algorithm>

#include "arrays/even_ranges.hpp"
#include "arrays/work_area.hpp"
#include "kernels/dot_kernel.hpp"
#include "linear/linear_forward.hpp"
#include "linear/task_grid.hpp"
#include "parallel/scratch.hpp"

namespace heedful {

inline constexpr std::ptrdiff_t few_rows = 8;
// Rows of the weight that are multiplied by all rows of x before the next ones, and how many rows
// ahead they are prefetched.
inline constexpr std::ptrdiff_t weight_chunk = 16, prefetch_distance = 8;

template <class T>
inline bool are_few_rows(const LinearSizes& sizes) {
  return sizes.rows <= few_rows && sizes.inputs >= simd::lanes<T>;
}

template <class T, class Stored>
void multiply_few_rows(const LinearSizes& sizes, Matrix<const T> x, Rows<Stored> weight,
                       const Epilogue<T>& epilogue, const Team& team) {
  const std::ptrdiff_t rows = sizes.rows, inputs = sizes.inputs, outputs = sizes.outputs;
  constexpr std::ptrdiff_t task_bytes = 128 << 10;  // of the weight
  const RowVectors<T> vectors(inputs);
  const std::ptrdiff_t spread_stride = vectors.count * simd::lanes<T>;
  Buffer<T> spread(ceil_div(rows, 4) * 4 * spread_stride, zeroed);
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    T* const to = spread.data() + row * spread_stride;
    vectors.spread(x.row(row), T{1}, to);
    std::fill_n(to + spread_stride - simd::lanes<T>, vectors.repeated(), T{0});
  }
  const std::ptrdiff_t row_bytes = inputs * static_cast<std::ptrdiff_t>(sizeof(Stored));
  const EvenRanges tasks{
      outputs, std::min(ceil_div(outputs, 16), ceil_div(outputs * row_bytes, task_bytes))};
  const std::ptrdiff_t max_count = ceil_div(outputs, tasks.count);
  const auto run = [&](std::ptrdiff_t task, Worker& worker) {
    const std::ptrdiff_t first = tasks.begin(task), count = tasks.length(task);
    T* const sums = WorkArea(worker.scratch).take<T>(rows * max_count);
    const DotQueries<T> queries{spread.data(), rows, vectors};
    for (std::ptrdiff_t begin = 0; begin < count; begin += weight_chunk) {
      const Rows<Stored> weights{weight[first + begin], weight.stride};
      const LinePrefetch prefetch{
          reinterpret_cast<const char*>(weights.data + prefetch_distance * weight.stride),
          weight.stride * static_cast<std::ptrdiff_t>(sizeof(Stored))};
      dot_rows(queries, weights, std::min(weight_chunk, count - begin), prefetch, sums + begin,
               max_count);
    }
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      epilogue.finish(sums + row * max_count, row, first, count);
    }
  };
  WorkArea area(nullptr);
  area.take<T>(rows * max_count);
  parallel_for(tasks.count, team, area.size(), run);
}

}  // namespace heedful
