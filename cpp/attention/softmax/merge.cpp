#include "attention/softmax/merge.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "arrays/ragged_range.hpp"
#include "arrays/rows.hpp"
#include "arrays/work_area.hpp"
#include "attention/softmax/shrunk_mean.hpp"
#include "kernels/nonfinite.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t task_rows = 256;

template <class T>
struct Areas {
  std::size_t size;
  T* total;  // (depth)
  T* piece;  // (depth)

  Areas(std::ptrdiff_t depth, std::byte* scratch) {
    WorkArea area(scratch);
    total = area.take<T>(depth);
    piece = area.take<T>(depth);
    size = area.size();
  }
};

template <class T>
void merge_row(const MergeSizes& sizes, const TensorView* outs, const TensorView* lses,
               const TensorView& out, const TensorView& lse, std::ptrdiff_t item,
               std::ptrdiff_t head, std::ptrdiff_t row, const Areas<T>& areas) {
  constexpr T nothing = -std::numeric_limits<T>::infinity();
  const auto lse_of = [&](std::ptrdiff_t p) {
    return *reinterpret_cast<const T*>(lses[p].row(item, head, row));
  };
  T maximum = nothing;
  for (std::ptrdiff_t p = 0; p < sizes.pieces; ++p) maximum = std::max(maximum, lse_of(p));
  // an lse that is beyond the range outweighs all that are not; ∞ − ∞ would be NaN
  const auto weight_of = [&](T piece) {
    return piece == maximum ? T{1} : std::exp(piece - maximum);
  };
  T sum = 0;
  std::fill_n(areas.total, sizes.depth, T{0});
  for (std::ptrdiff_t p = 0; p < sizes.pieces; ++p) {
    const T piece = lse_of(p);
    if (piece == nothing) continue;
    const T weight = weight_of(piece);
    sum += weight;
    read_row(outs[p].row(item, head, row), outs[p].type, outs[p].column_stride, areas.piece,
             sizes.depth);
    for (std::ptrdiff_t d = 0; d < sizes.depth; ++d) areas.total[d] += weight * areas.piece[d];
  }
  const T factor = sum == 0 ? T{0} : 1 / sum;
  for (std::ptrdiff_t d = 0; d < sizes.depth; ++d) areas.total[d] *= factor;
  if (!all_finite(Rows<T>{areas.total, 0}, 1, sizes.depth)) {
    for (std::ptrdiff_t d = 0; d < sizes.depth; ++d) {
      if (std::isfinite(areas.total[d])) continue;
      T shrunk = 0;  // see shrunk_mean.hpp
      for (std::ptrdiff_t p = 0; p < sizes.pieces; ++p) {
        const T piece = lse_of(p);
        if (piece == nothing) continue;
        T value;
        read_row(outs[p].row(item, head, row) + d * outs[p].column_stride, outs[p].type,
                 outs[p].column_stride, &value, 1);
        shrunk += weight_of(piece) * (value * value_shrink<T>);
      }
      areas.total[d] = grown_mean(shrunk * factor, largest_number<T>(out.type), true);
    }
  }
  write_row(areas.total, out.row(item, head, row), out.type, out.column_stride, sizes.depth);
  *reinterpret_cast<T*>(lse.row(item, head, row)) = sum == 0 ? nothing : maximum + std::log(sum);
}

}  // namespace

template <class T>
void merge_attention(const MergeSizes& sizes, const TensorView* outs, const TensorView* lses,
                     const TensorView& out, const TensorView& lse, const Team& team) {
  const std::ptrdiff_t chunks = (sizes.rows + task_rows - 1) / task_rows;
  const RaggedRange tasks(sizes.num_items, sizes.num_heads, [&](std::ptrdiff_t) { return chunks; });
  const auto run = [&](std::ptrdiff_t index, Worker& worker) {
    const Areas<T> areas(sizes.depth, worker.scratch);
    const auto [item, head, chunk] = tasks[index];
    const std::ptrdiff_t first = chunk * task_rows;
    for (std::ptrdiff_t row = first; row < std::min(first + task_rows, sizes.rows); ++row) {
      merge_row(sizes, outs, lses, out, lse, item, head, row, areas);
    }
  };
  parallel_for(tasks.size(), threads_for(cost_of(sizes), team), Areas<T>(sizes.depth, nullptr).size,
               run);
}

template void merge_attention<float>(const MergeSizes&, const TensorView*, const TensorView*,
                                     const TensorView&, const TensorView&, const Team&);
template void merge_attention<double>(const MergeSizes&, const TensorView*, const TensorView*,
                                      const TensorView&, const TensorView&, const Team&);

}  // namespace heedful
