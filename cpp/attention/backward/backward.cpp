#include "attention/backward/backward.hpp"

#include <algorithm>
#include <atomic>

#include "arrays/ragged_range.hpp"
#include "attention/backward/cut.hpp"
#include "attention/backward/delta.hpp"
#include "attention/backward/key_tile_gradients.hpp"
#include "attention/softmax/dropout.hpp"
#include "parallel/scratch.hpp"
#include "simd/overflow_flag.hpp"

namespace heedful {
namespace {

// delta of all rows, but of those that a task meets only once: it writes theirs itself.
template <class T, class Once>
void write_deltas(const Problem& problem, const BackwardTensors& tensors, const Team& team,
                  const Once& once) {
  constexpr std::ptrdiff_t rows = 256;
  const RaggedRange tasks(problem.num_items, problem.num_heads, [&](std::ptrdiff_t i) {
    return once(i) ? 0 : (problem.items[i].queries + rows - 1) / rows;
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

// The same block of all items and heads before the next block: neighbours in time do not wait for
// one another's turn, and with causal attention the first blocks are seen by most queries.
//   dweights (tasks, columns)
template <class T>
Buffer<BackwardTask> ordered_tasks(const Problem& problem, const BackwardCut<T>& cut,
                                   std::ptrdiff_t columns, Buffer<double>& dweights) {
  Buffer<std::ptrdiff_t> items(problem.num_items);  // that have more blocks
  std::ptrdiff_t left = 0, tasks = 0;
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    if (cut.blocks(i) > 0) items[left++] = i;
    tasks += problem.num_kv_heads * cut.blocks(i) * cut.chunks(i);
  }
  dweights = Buffer<double>(tasks * columns, zeroed);
  Buffer<BackwardTask> table(tasks);
  std::ptrdiff_t at = 0;
  for (std::ptrdiff_t block = 0; left > 0; ++block) {
    for (const std::ptrdiff_t* item = items.begin(); item != items.begin() + left; ++item) {
      for (std::ptrdiff_t kv_head = 0; kv_head < problem.num_kv_heads; ++kv_head) {
        for (std::ptrdiff_t chunk = 0; chunk < cut.chunks(*item); ++chunk, ++at) {
          table[at] = {*item, kv_head, block, chunk, dweights.data() + at * columns};
        }
      }
    }
    left = std::remove_if(items.begin(), items.begin() + left,
                          [&](std::ptrdiff_t item) { return cut.blocks(item) == block + 1; }) -
           items.begin();
  }
  return table;
}

}  // namespace

template <class T>
void attention_backward(const Problem& problem, const BackwardTensors& tensors,
                        const Team& whole_team) {
  const Team team = threads_for(cost_of(problem), whole_team);
  const RowScales<T> scales(problem, tensors.query, tensors.key, tensors.lse, team);
  const BackwardCut<T> cut(problem, tensors);
  write_deltas<T>(problem, tensors, team, [&](std::ptrdiff_t i) { return cut.blocks(i) == 1; });

  const std::ptrdiff_t columns = tensors.dweight ? problem.depth : 0;
  Buffer<double> dweights;
  const Buffer<BackwardTask> table = ordered_tasks(problem, cut, columns, dweights);

  using Turn = std::atomic<std::ptrdiff_t>;
  const RaggedRange panels(problem.num_items, problem.num_heads,
                           [&](std::ptrdiff_t i) { return cut.own_panels(i); });
  const RaggedRange blocks(problem.num_items, problem.num_kv_heads,
                           [&](std::ptrdiff_t i) { return cut.blocks(i); });
  Buffer<Turn> dquery(panels.size(), zeroed), dkey(blocks.size(), zeroed);
  Buffer<Turn> dbias(tensors.shared_dbias ? cut.most_blocks() * cut.most_panels() : 0, zeroed);
  const BackwardCall<T> call{problem,
                             tensors,
                             cut,
                             scales,
                             score_rule<T>(problem),
                             static_cast<T>(dropout_factor(problem)),
                             {dquery.data(), &panels, dkey.data(), &blocks, dbias.data()},
                             cut.most_summed() > level_panels};
  parallel_for(table.size(), team, backward_scratch(call),
               [&](std::ptrdiff_t index, Worker& worker) {
                 const simd::OverflowFlag flag;
                 backward(call, table[index], worker);
                 if (flag.raised() && tensors.overflowed) {
                   tensors.overflowed->store(true, std::memory_order_relaxed);
                 }
               });
  for (const BackwardTask& task : table) {  // in an order that no thread decides
    for (std::ptrdiff_t column = 0; column < columns; ++column) {
      tensors.dweight[task.kv_head * problem.additive_stride + column] += task.dweight[column];
    }
  }
}

template void attention_backward<float>(const Problem&, const BackwardTensors&, const Team&);
template void attention_backward<double>(const Problem&, const BackwardTensors&, const Team&);

}  // namespace heedful
