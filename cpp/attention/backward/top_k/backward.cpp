#include "attention/backward/top_k/backward.hpp"

#include <algorithm>

#include "arrays/ragged_range.hpp"
#include "attention/backward/top_k/key_gradients.hpp"
#include "attention/backward/top_k/row_gradients.hpp"
#include "attention/backward/top_k/wave.hpp"
#include "attention/softmax/dropout.hpp"
#include "simd/overflow_flag.hpp"

namespace heedful {
namespace {

// Calls run(head, index, worker) for every index below count_of(head) of every head of the wave.
template <class T, class CountOf, class Run>
void for_heads(const TopKBackward<T>& call, HeadRange heads, const CountOf& count_of,
               std::size_t scratch, const Team& team, const Run& run) {
  const RaggedRange tasks(heads.end - heads.begin, 1,
                          [&](std::ptrdiff_t n) { return count_of(heads.begin + n); });
  parallel_for(tasks.size(), team, scratch, [&](std::ptrdiff_t task, Worker& worker) {
    const RaggedRange::Place place = tasks[task];
    const simd::OverflowFlag flag;
    run(heads.begin + place.item, place.index, worker);
    if (flag.raised() && call.tensors.overflowed) {
      call.tensors.overflowed->store(true, std::memory_order_relaxed);
    }
  });
}

constexpr std::ptrdiff_t ceil_div(std::ptrdiff_t a, std::ptrdiff_t b) { return (a + b - 1) / b; }

template <class T>
void run_rows(const TopKBackward<T>& call, const Wave<T>& wave, const Team& team) {
  constexpr std::ptrdiff_t task_rows = 32;
  const auto count_of = [&](std::ptrdiff_t head) { return ceil_div(call.rows(head), task_rows); };
  for_heads(call, wave.heads, count_of, RowScratch<T>(call, nullptr).area.size(), team,
            [&](std::ptrdiff_t head, std::ptrdiff_t index, Worker& worker) {
              const RowScratch<T> scratch(call, worker.scratch);
              const std::ptrdiff_t end = std::min((index + 1) * task_rows, call.rows(head));
              for (std::ptrdiff_t row = index * task_rows; row < end; ++row) {
                worker.check();
                write_row_gradients(call, wave, head, row, scratch);
              }
            });
}

template <class T>
void run_keys(const TopKBackward<T>& call, const Wave<T>& wave, const Team& team) {
  const Problem& problem = call.problem;
  const auto keys_of = [&](std::ptrdiff_t head) {
    return problem.items[head / problem.num_kv_heads].keys;
  };
  std::ptrdiff_t all_keys = 0, max_rows = 0;
  for (std::ptrdiff_t head = wave.heads.begin; head < wave.heads.end; ++head) {
    all_keys += keys_of(head);
    max_rows = std::max(max_rows, call.rows(head));
  }
  // The sums of a range stay in L2; ranges are shorter if threads would be idle. They do not change
  // the bits of any key.
  constexpr std::ptrdiff_t min_tasks = 16, min_keys = 32, elements = 65536;
  const std::ptrdiff_t depths = std::max<std::ptrdiff_t>(problem.depth + problem.value_depth, 1);
  const std::ptrdiff_t longest = std::max(elements / depths, min_keys);
  const std::ptrdiff_t size = std::clamp(ceil_div(all_keys, min_tasks), min_keys, longest);
  const auto count_of = [&](std::ptrdiff_t head) { return ceil_div(keys_of(head), size); };
  for_heads(call, wave.heads, count_of, KeyScratch<T>(call, size, max_rows, nullptr).size, team,
            [&](std::ptrdiff_t head, std::ptrdiff_t index, Worker& worker) {
              const KeyScratch<T> scratch(call, size, max_rows, worker.scratch);
              const KeyRange keys{index * size, std::min((index + 1) * size, keys_of(head))};
              write_key_gradients(call, wave, head, keys, scratch, worker);
            });
}

// Adds the dscores of the wave to a dbias whose rows several items or heads share: each task has
// some queries, of all heads in order.
template <class T>
void add_shared_dbias(const TopKBackward<T>& call, const Wave<T>& wave, const Team& team) {
  constexpr std::ptrdiff_t task_queries = 32;
  const Problem& problem = call.problem;
  const TensorView& dbias = call.tensors.dbias;
  std::ptrdiff_t queries = 0;
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    queries = std::max(queries, problem.items[i].queries);
  }
  const auto run = [&](std::ptrdiff_t task, Worker& worker) {
    for (std::ptrdiff_t kv_head = wave.heads.begin; kv_head < wave.heads.end; ++kv_head) {
      worker.check();
      const std::ptrdiff_t item = kv_head / problem.num_kv_heads, group = problem.group();
      const std::ptrdiff_t own = problem.items[item].queries;
      const std::ptrdiff_t first_head = kv_head % problem.num_kv_heads * group;
      const std::ptrdiff_t end = std::min((task + 1) * task_queries, own);
      for (std::ptrdiff_t g = 0; g < group; ++g) {
        for (std::ptrdiff_t query = task * task_queries; query < end; ++query) {
          const KeyIndex* const keys = call.keys_of(item, first_head + g, query);
          const T* const dscores =
              wave.buffers.dscores + wave.at(problem, kv_head, g * own + query);
          char* const row = dbias.row(item, first_head + g, query);
          for (std::ptrdiff_t i = 0; i < problem.top_k && keys[i] != no_key; ++i) {
            *reinterpret_cast<T*>(row + keys[i] * dbias.column_stride) += dscores[i];
          }
        }
      }
    }
  };
  parallel_for(ceil_div(queries, task_queries), team, 0, run);
}

}  // namespace

template <class T>
void top_k_backward(const Problem& problem, const BackwardTensors& tensors, const TensorView& kept,
                    const Team& whole_team) {
  const Team team = threads_for(cost_of(problem), whole_team);
  const TopKBackward<T> call{problem,
                             tensors,
                             kept,
                             score_rule<T>(problem),
                             static_cast<T>(dropout_factor(problem)),
                             bias_adds(tensors)};
  const std::ptrdiff_t heads = problem.num_items * problem.num_kv_heads;
  std::ptrdiff_t max_rows = 0;
  for (HeadRange range{0, 0}; range.end < heads;) {
    range = wave_from(call, range.end);
    std::ptrdiff_t rows = 0;
    for (std::ptrdiff_t head = range.begin; head < range.end; ++head) rows += call.rows(head);
    max_rows = std::max(max_rows, rows);
  }
  RowBuffers<T> buffers(call, max_rows);
  for (HeadRange range{0, 0}; range.end < heads;) {
    range = wave_from(call, range.end);
    const Wave<T> wave(call, range, buffers);
    run_rows(call, wave, team);
    run_keys(call, wave, team);
    if (call.bias_adds == BiasAdds::shared) add_shared_dbias(call, wave, team);
  }
}

template void top_k_backward<float>(const Problem&, const BackwardTensors&, const TensorView&,
                                    const Team&);
template void top_k_backward<double>(const Problem&, const BackwardTensors&, const TensorView&,
                                     const Team&);

}  // namespace heedful
