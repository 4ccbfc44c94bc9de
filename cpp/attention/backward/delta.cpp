#include "attention/backward/delta.hpp"

#include <algorithm>

#include "arrays/ragged_range.hpp"
#include "arrays/rows.hpp"

namespace heedful {

template <class T>
void write_delta(const BackwardTensors& tensors, std::ptrdiff_t value_depth, std::ptrdiff_t item,
                 std::ptrdiff_t head, std::ptrdiff_t first, std::ptrdiff_t count, T* buffer) {
  for (std::ptrdiff_t row = first; row < first + count; ++row) {
    const Rows<T> out =
        load_rows(tensors.out, item, head, row, 1, value_depth, InPlace::any_stride, buffer);
    const Rows<T> dout = load_rows(tensors.dout, item, head, row, 1, value_depth,
                                   InPlace::any_stride, buffer + padded<T>(value_depth));
    T delta = dot(out.data, dout.data, value_depth);
    if (tensors.row_term)
      delta -= *reinterpret_cast<const T*>(tensors.row_term.row(item, head, row));
    *reinterpret_cast<T*>(tensors.delta.row(item, head, row)) = delta;
  }
}

template <class T>
void write_deltas(const Problem& problem, const BackwardTensors& tensors,
                  const BackwardPartition<T>& partition, const Team& team) {
  constexpr std::ptrdiff_t rows = 256;
  const RaggedRange tasks(problem.num_items, problem.num_heads, [&](std::ptrdiff_t i) {
    return partition.has_one_key_tile(i) ? 0 : (problem.items[i].queries + rows - 1) / rows;
  });
  const auto run = [&](std::ptrdiff_t index, Worker& worker) {
    const RaggedRange::Place task = tasks[index];
    const Item& item = problem.items[task.item];
    const std::ptrdiff_t first = task.index * rows;
    write_delta(tensors, problem.value_depth, task.item, task.head, item.query_begin + first,
                std::min(rows, item.queries - first), reinterpret_cast<T*>(worker.scratch));
  };
  const auto bytes = static_cast<std::size_t>(2 * padded<T>(problem.value_depth)) * sizeof(T);
  parallel_for(tasks.size(), team, std::max<std::size_t>(bytes, 64), run);
}

template void write_delta(const BackwardTensors&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                          std::ptrdiff_t, std::ptrdiff_t, float*);
template void write_delta(const BackwardTensors&, std::ptrdiff_t, std::ptrdiff_t, std::ptrdiff_t,
                          std::ptrdiff_t, std::ptrdiff_t, double*);
template void write_deltas(const Problem&, const BackwardTensors&, const BackwardPartition<float>&,
                           const Team&);
template void write_deltas(const Problem&, const BackwardTensors&, const BackwardPartition<double>&,
                           const Team&);

}  // namespace heedful
