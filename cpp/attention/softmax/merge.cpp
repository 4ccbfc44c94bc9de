#include "attention/softmax/merge.hpp"

#include <algorithm>
#include <cmath>

#include "arrays/ragged_range.hpp"
#include "arrays/rows.hpp"
#include "arrays/work_area.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/softmax/scaled_mean.hpp"
#include "kernels/nonfinite.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t task_rows = 256;

template <class T>
struct Scratch {
  std::size_t size;
  T* total;      // (depth)
  T* split_out;  // (depth)

  Scratch(std::ptrdiff_t depth, std::byte* memory) {
    WorkArea area(memory);
    total = area.take<T>(depth);
    split_out = area.take<T>(depth);
    size = area.size();
  }
};

template <class T>
void merge_row(const MergeSizes& sizes, const TensorView* outs, const TensorView* lses,
               const TensorView& out, const TensorView& lse, std::ptrdiff_t item,
               std::ptrdiff_t head, std::ptrdiff_t row, const Scratch<T>& scratch) {
  const auto lse_of = [&](std::ptrdiff_t p) {
    return *reinterpret_cast<const T*>(lses[p].row(item, head, row));
  };
  T maximum = minus_infinity<T>;
  for (std::ptrdiff_t p = 0; p < sizes.splits; ++p) maximum = std::max(maximum, lse_of(p));
  // an lse that overflowed outweighs all that did not; ∞ − ∞ would be NaN
  const auto weight_of = [&](T split_lse) {
    return split_lse == maximum ? T{1} : std::exp(split_lse - maximum);
  };
  T sum = 0;
  std::fill_n(scratch.total, sizes.depth, T{0});
  for (std::ptrdiff_t p = 0; p < sizes.splits; ++p) {
    const T split_lse = lse_of(p);
    if (split_lse == minus_infinity<T>) continue;
    const T weight = weight_of(split_lse);
    sum += weight;
    read_row(outs[p].row(item, head, row), outs[p].type, outs[p].column_stride, scratch.split_out,
             sizes.depth);
    for (std::ptrdiff_t d = 0; d < sizes.depth; ++d)
      scratch.total[d] += weight * scratch.split_out[d];
  }
  const T factor = sum == 0 ? T{0} : 1 / sum;
  for (std::ptrdiff_t d = 0; d < sizes.depth; ++d) scratch.total[d] *= factor;
  if (!all_finite(Rows<T>{scratch.total, 0}, 1, sizes.depth)) {
    for (std::ptrdiff_t d = 0; d < sizes.depth; ++d) {
      if (std::isfinite(scratch.total[d])) continue;
      T scaled = 0;  // see scaled_mean.hpp
      for (std::ptrdiff_t p = 0; p < sizes.splits; ++p) {
        const T split_lse = lse_of(p);
        if (split_lse == minus_infinity<T>) continue;
        T value;
        read_row(outs[p].row(item, head, row) + d * outs[p].column_stride, outs[p].type,
                 outs[p].column_stride, &value, 1);
        scaled += weight_of(split_lse) * (value * value_scale<T>);
      }
      scratch.total[d] = unscaled_mean(scaled * factor, largest_finite<T>(out.type), true);
    }
  }
  write_row(scratch.total, out.row(item, head, row), out.type, out.column_stride, sizes.depth);
  *reinterpret_cast<T*>(lse.row(item, head, row)) =
      sum == 0 ? minus_infinity<T> : maximum + std::log(sum);
}

}  // namespace

template <class T>
void merge_attention(const MergeSizes& sizes, const TensorView* outs, const TensorView* lses,
                     const TensorView& out, const TensorView& lse, const Team& team) {
  const std::ptrdiff_t chunks = (sizes.rows + task_rows - 1) / task_rows;
  const RaggedRange tasks(sizes.num_items, sizes.num_heads, [&](std::ptrdiff_t) { return chunks; });
  const auto run = [&](std::ptrdiff_t index, Worker& worker) {
    const Scratch<T> scratch(sizes.depth, worker.scratch);
    const auto [item, head, chunk] = tasks[index];
    const std::ptrdiff_t first = chunk * task_rows;
    for (std::ptrdiff_t row = first; row < std::min(first + task_rows, sizes.rows); ++row) {
      merge_row(sizes, outs, lses, out, lse, item, head, row, scratch);
    }
  };
  parallel_for(tasks.size(), threads_for(cost_of(sizes), team),
               Scratch<T>(sizes.depth, nullptr).size, run);
}

template void merge_attention<float>(const MergeSizes&, const TensorView*, const TensorView*,
                                     const TensorView&, const TensorView&, const Team&);
template void merge_attention<double>(const MergeSizes&, const TensorView*, const TensorView*,
                                      const TensorView&, const TensorView&, const Team&);

}  // namespace heedful
