#include "attention/forward/forward.hpp"

#include <algorithm>
#include <atomic>

#include "attention/forward/decode/decode.hpp"
#include "attention/forward/next_task.hpp"
#include "attention/forward/overflow.hpp"
#include "attention/forward/partition/partition.hpp"
#include "attention/forward/prefill/prefill.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/key_split.hpp"
#include "attention/softmax/online_softmax.hpp"
#include "simd/overflow_flag.hpp"

namespace heedful {
namespace {

template <class T>
void merge_splits(const ForwardCall<T>& call, const RowTask& task, KeySplits<T>& key_splits,
                  std::ptrdiff_t count, T* out) {
  const Problem& problem = call.problem;
  KeySplit<T> splits[max_key_splits];
  const T* maxima[max_key_splits];
  const T* sums[max_key_splits];
  for (std::ptrdiff_t p = 0; p < count; ++p) {
    splits[p] = key_splits.at(task, p);
    maxima[p] = splits[p].maximum, sums[p] = splits[p].sum;
  }
  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    T factors[max_key_splits], maximum, sum;
    with_normalizer(call.rule, [&](const auto& normalizer) {
      merge_rows(normalizer, maxima, sums, count, r, factors, maximum, sum);
    });
    const T factor = out_factor(call.rule, sum, call.dropout_factor);
    std::fill_n(out, problem.value_depth, T{0});
    for (std::ptrdiff_t p = 0; p < count; ++p) {
      if (factors[p] == 0) continue;
      const T* const from = splits[p].out + r * problem.value_depth;
      for (std::ptrdiff_t d = 0; d < problem.value_depth; ++d) {
        out[d] += factors[p] * factor * from[d];
      }
    }
    record_overflow(call, {out, problem.value_depth}, 1, problem.value_depth);
    const Row row = row_of(problem, task, r);
    char* const to =
        call.out.row(task.item, row.head, problem.items[task.item].query_begin + row.query);
    write_row(out, to, call.out.type, call.out.column_stride, problem.value_depth);
    write_lse(call, task.item, row, log_sum_exp(call.rule, maximum, sum));
  }
}

// Whether decode tasks go over several heads. Rows that are in L2 from the call before take up to
// 12 % longer in turn, since the pieces are short.
bool heads_in_turn(const Cost& cost, const TensorView& key, const TensorView& value) {
  constexpr double l2_bytes = 1 << 20;
  const double bytes = cost.reads * static_cast<double>(element_size(key.type));
  return (key.heads_alternate() || value.heads_alternate()) && bytes > l2_bytes;
}

}  // namespace

template <class T>
void attention_forward(const Problem& problem, const TensorView& query, const TensorView& key,
                       const TensorView& value, const TensorView& out, const TensorView& lse,
                       const Team& team) {
  std::atomic<bool> overflowed{false};
  const Cost cost = cost_of(problem);
  const Team used = threads_for(cost, team);
  const ForwardPartition<T> partition(problem, heads_in_turn(cost, key, value), used.threads);
  const ForwardCall<T> call{problem,
                            query,
                            key,
                            value,
                            out,
                            lse,
                            score_rule<T>(problem),
                            static_cast<T>(dropout_factor(problem)),
                            &overflowed,
                            partition.shared_keys(),
                            partition.decoded_rows()};
  KeySplits<T> key_splits(problem, [&](std::ptrdiff_t i) { return partition[i].key_splits; });
  // prefill keeps rows from task to task: the others have scratch memory of their own
  const std::size_t kept = prefill_scratch(call);
  const auto run = [&](std::ptrdiff_t index, Worker& worker) {
    if (worker.first_task) start_prefill(call, worker);
    const RowTask task = partition.task(index);
    const std::ptrdiff_t count = partition[task.item].key_splits;
    KeySplits<T>* const splits = count > 1 ? &key_splits : nullptr;
    const simd::OverflowFlag flag;
    if (partition[task.item].path == Path::decode) {
      decode(call, task, splits, worker, worker.scratch + kept);
    } else {
      // the other threads execute the tasks in between
      const std::ptrdiff_t next_index = index + used.threads;
      RowPrefetch next = next_index < partition.tasks()
                             ? next_task_prefetch(call, task, partition.task(next_index))
                             : RowPrefetch();
      const KeySplit<T> own = splits ? splits->at(task, task.key_split) : KeySplit<T>();
      prefill(call, task, own, next, worker);
    }
    if (flag.raised()) overflowed.store(true, std::memory_order_relaxed);
    for (std::ptrdiff_t h = 0; splits && h < task.kv_heads; ++h) {
      const RowTask own = task.of_head(h);
      if (!splits->finish_task(own, count)) continue;
      merge_splits(call, own, *splits, count, reinterpret_cast<T*>(worker.scratch + kept));
    }
  };
  parallel_for(partition.tasks(), used, kept + decode_scratch(call), run);
  if (overflowed) recompute_overflow(call, used);
}

template void attention_forward<float>(const Problem&, const TensorView&, const TensorView&,
                                       const TensorView&, const TensorView&, const TensorView&,
                                       const Team&);
template void attention_forward<double>(const Problem&, const TensorView&, const TensorView&,
                                        const TensorView&, const TensorView&, const TensorView&,
                                        const Team&);

}  // namespace heedful
