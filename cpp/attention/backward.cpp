#include "attention/backward.hpp"

#include <algorithm>
#include <atomic>

#include "attention/backward_delta.hpp"
#include "attention/backward_task.hpp"
#include "attention/dropout.hpp"
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
  Buffer<std::ptrdiff_t> first_task(problem.num_items + 1);
  first_task[0] = 0;
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    const Item& item = problem.items[i];
    first_task[i + 1] =
        first_task[i] + (once(item) ? 0 : problem.num_heads * rounded_up(item.queries, rows));
  }
  const auto run = [&](std::ptrdiff_t index, Worker& worker) {
    const std::ptrdiff_t i =
        std::upper_bound(first_task.begin(), first_task.end(), index) - first_task.begin() - 1;
    const Item& item = problem.items[i];
    const std::ptrdiff_t chunks = rounded_up(item.queries, rows);
    const std::ptrdiff_t head = (index - first_task[i]) / chunks;
    const std::ptrdiff_t first = (index - first_task[i]) % chunks * rows;
    write_delta(tensors, problem.value_depth, i, head, item.query_begin + first,
                std::min(rows, item.queries - first), reinterpret_cast<T*>(worker.scratch));
  };
  const auto bytes = static_cast<std::size_t>(2 * padded<T>(problem.value_depth)) * sizeof(T);
  parallel_for(first_task[problem.num_items], team, std::max<std::size_t>(bytes, 64), run);
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

  Buffer<std::ptrdiff_t> first_dquery(problem.num_items), first_dkey(problem.num_items);
  std::ptrdiff_t tasks = 0, dkey_turns = 0;
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    const std::ptrdiff_t blocks = problem.num_kv_heads * blocks_of(problem.items[i]);
    first_dquery[i] = i * problem.num_heads * most_panels;
    first_dkey[i] = dkey_turns;
    dkey_turns += blocks;
    tasks += blocks * chunks_of(problem.items[i]);
  }

  // The same block of all items and heads before the next block: neighbours in time do not wait for
  // one another's turn, and with causal attention the first blocks are seen by most queries.
  const std::ptrdiff_t columns = tensors.dweight ? problem.depth : 0;
  Buffer<double> dweights(tasks * columns, zeroed);
  Buffer<BackwardTask> table(tasks);
  std::ptrdiff_t at = 0;
  for (std::ptrdiff_t block = 0; block < most_blocks; ++block) {
    for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
      const Item& item = problem.items[i];
      if (block >= blocks_of(item)) continue;
      const std::ptrdiff_t panels = panels_of(item), chunks = chunks_of(item);
      for (std::ptrdiff_t kv_head = 0; kv_head < problem.num_kv_heads; ++kv_head) {
        for (std::ptrdiff_t chunk = 0; chunk < chunks; ++chunk) {
          table[at] = {i,
                       kv_head,
                       block,
                       panels * chunk / chunks,
                       panels * (chunk + 1) / chunks,
                       chunk,
                       chunks,
                       blocks_of(item) == 1,
                       dweights.data() + at * columns};
          ++at;
        }
      }
    }
  }

  using Turn = std::atomic<std::ptrdiff_t>;
  Buffer<Turn> dquery(problem.num_items * problem.num_heads * most_panels, zeroed);
  Buffer<Turn> dkey(dkey_turns, zeroed);
  Buffer<Turn> dbias(tensors.shared_dbias ? most_blocks * most_panels : 0, zeroed);
  const BackwardCall<T> call{problem,
                             tensors,
                             scales,
                             score_rule<T>(problem),
                             static_cast<T>(dropout_factor(problem)),
                             {dquery.data(), first_dquery.data(), dkey.data(), first_dkey.data(),
                              dbias.data(), most_panels}};
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
