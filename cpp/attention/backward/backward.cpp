#include "attention/backward/backward.hpp"

#include <algorithm>

#include "arrays/ragged_range.hpp"
#include "attention/backward/delta.hpp"
#include "attention/backward/key_tile/key_tile_gradients.hpp"
#include "attention/backward/partition/in_order.hpp"
#include "attention/backward/partition/partition.hpp"
#include "attention/softmax/dropout.hpp"
#include "parallel/scratch.hpp"
#include "simd/overflow_flag.hpp"

namespace heedful {
namespace {

// Tasks in the order of key tiles: the same one of all items and heads before the next, so that
// tasks that run at the same time do not wait for one another's tickets; and with causal attention
// most queries see the first key tiles.
template <class T>
Buffer<BackwardTask> ordered_tasks(const Problem& problem, const BackwardPartition<T>& partition) {
  const RaggedRange places(problem.num_items, problem.num_kv_heads, [&](std::ptrdiff_t i) {
    return partition.key_tiles(i) * partition.chunks(i);
  });
  Buffer<BackwardTask> tasks(places.size());
  for (std::ptrdiff_t n = 0; n < tasks.size(); ++n) {
    const RaggedRange::Place place = places[n];
    const std::ptrdiff_t chunks = partition.chunks(place.item);
    tasks[n] = {place.item, place.head, place.index / chunks, place.index % chunks, nullptr};
  }
  std::stable_sort(tasks.begin(), tasks.end(), [](const BackwardTask& a, const BackwardTask& b) {
    return a.key_tile < b.key_tile;
  });
  return tasks;
}

}  // namespace

template <class T>
void attention_backward(const Problem& problem, const BackwardTensors& tensors,
                        const Team& whole_team) {
  const Team team = threads_for(cost_of(problem), whole_team);
  const RowScales<T> scales(problem, tensors.query, tensors.key, tensors.lse, team);
  const BackwardPartition<T> partition(problem, tensors);
  write_deltas(problem, tensors, partition, team);

  Buffer<BackwardTask> tasks = ordered_tasks(problem, partition);
  const std::ptrdiff_t columns = tensors.dscore_vector ? problem.depth : 0;
  Buffer<double> dscore_vectors(tasks.size() * columns, zeroed);
  for (std::ptrdiff_t n = 0; n < tasks.size(); ++n)
    tasks[n].dscore_vector = dscore_vectors.data() + n * columns;

  Tickets tickets(problem, partition, tensors.shared_dbias);
  const BackwardCall<T> call{problem,
                             tensors,
                             partition,
                             scales,
                             tickets,
                             score_rule<T>(problem),
                             static_cast<T>(dropout_factor(problem)),
                             bias_adds(tensors),
                             way_of(problem, tensors)};
  parallel_for(tasks.size(), team, backward_scratch(call),
               [&](std::ptrdiff_t index, Worker& worker) {
                 const simd::OverflowFlag flag;
                 // the other threads execute the tasks in between
                 const std::ptrdiff_t next = index + team.threads;
                 backward(call, tasks[index], next < tasks.size() ? &tasks[next] : nullptr, worker);
                 if (flag.raised() && tensors.overflowed) {
                   tensors.overflowed->store(true, std::memory_order_relaxed);
                 }
               });
  for (const BackwardTask& task : tasks) {  // in an order that does not depend on threads
    for (std::ptrdiff_t column = 0; column < columns; ++column) {
      tensors.dscore_vector[task.kv_head * problem.score_vector_stride + column] +=
          task.dscore_vector[column] * problem.score_slope();
    }
  }
}

template void attention_backward<float>(const Problem&, const BackwardTensors&, const Team&);
template void attention_backward<double>(const Problem&, const BackwardTensors&, const Team&);

}  // namespace heedful
