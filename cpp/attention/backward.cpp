#include "attention/backward.hpp"

#include <algorithm>
#include <atomic>

#include "attention/backward_delta.hpp"
#include "attention/backward_task.hpp"
#include "attention/dropout.hpp"
#include "attention/ragged_range.hpp"
#include "parallel/scratch.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t few_blocks = 4;     // with no more, the queries are cut too
constexpr std::ptrdiff_t chunk_panels = 20;  // fewest panels of a chunk
constexpr std::ptrdiff_t max_chunks = 8;

std::ptrdiff_t rounded_up(std::ptrdiff_t count, std::ptrdiff_t size) {
  return (count + size - 1) / size;
}

// delta of all rows, but of those that a task meets only once: it writes theirs itself.
template <class T, class Once>
void write_deltas(const Problem& problem, const BackwardTensors& tensors, const Team& team,
                  const Once& once) {
  constexpr std::ptrdiff_t rows = 256;
  const RaggedRange tasks(problem.num_items, problem.num_heads, [&](std::ptrdiff_t i) {
    return once(problem.items[i]) ? 0 : rounded_up(problem.items[i].queries, rows);
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

}  // namespace

template <class T>
void attention_backward(const Problem& problem, const BackwardTensors& tensors,
                        const Team& whole_team) {
  const Team team = team_for(problem, whole_team);
  const RowScales<T> scales(problem, tensors.query, tensors.key, tensors.lse, team);

  std::ptrdiff_t most_queries = 0, most_blocks = 0;
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    most_queries = std::max(most_queries, problem.items[i].queries);
    most_blocks = std::max(most_blocks, key_blocks(problem, tensors, problem.items[i]));
  }
  const std::ptrdiff_t most_panels = rounded_up(most_queries, panel_rows<T>);

  // Chunks of the queries, where the blocks alone leave threads without work; dbias is added to by
  // one chunk only.
  const auto blocks_of = [&](const Item& item) {
    return tensors.shared_dbias ? most_blocks : key_blocks(problem, tensors, item);
  };
  const auto panels_of = [&](const Item& item) {
    return tensors.shared_dbias ? most_panels : rounded_up(item.queries, panel_rows<T>);
  };
  const auto chunks_of = [&](const Item& item) -> std::ptrdiff_t {
    if (tensors.dbias || blocks_of(item) > few_blocks) return 1;
    return std::clamp<std::ptrdiff_t>(panels_of(item) / chunk_panels, 1, max_chunks);
  };

  write_deltas<T>(problem, tensors, team, [&](const Item& item) { return blocks_of(item) == 1; });

  const RaggedRange panels(problem.num_items, problem.num_heads, [&](std::ptrdiff_t i) {
    return rounded_up(problem.items[i].queries, panel_rows<T>);
  });
  const RaggedRange blocks(problem.num_items, problem.num_kv_heads,
                           [&](std::ptrdiff_t i) { return blocks_of(problem.items[i]); });
  std::ptrdiff_t tasks = 0, most_summed = 0;  // panels that one task sums over
  Buffer<std::ptrdiff_t> unfinished(problem.num_items);
  std::ptrdiff_t items = 0;
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    const Item& item = problem.items[i];
    if (blocks_of(item) == 0) continue;
    unfinished[items++] = i;
    tasks += problem.num_kv_heads * blocks_of(item) * chunks_of(item);
    most_summed =
        std::max(most_summed, problem.group() * rounded_up(panels_of(item), chunks_of(item)));
  }

  // The same block of all items and heads before the next block: neighbours in time do not wait for
  // one another's turn, and with causal attention the first blocks are seen by most queries.
  const std::ptrdiff_t columns = tensors.dweight ? problem.depth : 0;
  Buffer<double> dweights(tasks * columns, zeroed);
  Buffer<BackwardTask> table(tasks);
  std::ptrdiff_t at = 0;
  for (std::ptrdiff_t block = 0; items > 0; ++block) {
    for (std::ptrdiff_t u = 0; u < items; ++u) {
      const std::ptrdiff_t i = unfinished[u];
      const Item& item = problem.items[i];
      const std::ptrdiff_t all = panels_of(item), chunks = chunks_of(item);
      for (std::ptrdiff_t kv_head = 0; kv_head < problem.num_kv_heads; ++kv_head) {
        for (std::ptrdiff_t chunk = 0; chunk < chunks; ++chunk) {
          table[at] = {i,
                       kv_head,
                       block,
                       all * chunk / chunks,
                       all * (chunk + 1) / chunks,
                       chunk,
                       chunks,
                       blocks_of(item) == 1,
                       dweights.data() + at * columns};
          ++at;
        }
      }
    }
    items =
        std::remove_if(unfinished.begin(), unfinished.begin() + items,
                       [&](std::ptrdiff_t i) { return blocks_of(problem.items[i]) == block + 1; }) -
        unfinished.begin();
  }

  using Turn = std::atomic<std::ptrdiff_t>;
  Buffer<Turn> dquery(panels.size(), zeroed), dkey(blocks.size(), zeroed);
  Buffer<Turn> dbias(tensors.shared_dbias ? most_blocks * most_panels : 0, zeroed);
  const BackwardCall<T> call{
      problem,
      tensors,
      scales,
      score_rule<T>(problem),
      static_cast<T>(dropout_factor(problem)),
      {dquery.data(), &panels, dkey.data(), &blocks, dbias.data(), most_panels},
      most_summed > level_panels};
  parallel_for(tasks, team, backward_scratch(call),
               [&](std::ptrdiff_t index, Worker& worker) { backward(call, table[index], worker); });
  for (const BackwardTask& task : table) {  // in an order that no thread decides
    for (std::ptrdiff_t column = 0; column < columns; ++column) {
      tensors.dweight[task.kv_head * problem.additive_stride + column] += task.dweight[column];
    }
  }
}

template void attention_backward<float>(const Problem&, const BackwardTensors&, const Team&);
template void attention_backward<double>(const Problem&, const BackwardTensors&, const Team&);

}  // namespace heedful
