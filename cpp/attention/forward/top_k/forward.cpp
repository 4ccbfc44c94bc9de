#include "attention/forward/top_k/forward.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "arrays/finite_cast.hpp"
#include "arrays/gathered_rows.hpp"
#include "arrays/work_area.hpp"
#include "attention/forward/probabilities/call_without_values.hpp"
#include "attention/forward/top_k/row_blocks.hpp"
#include "attention/forward/top_k/selection.hpp"
#include "attention/forward/top_k/split_lists.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/online_softmax.hpp"
#include "attention/softmax/scaled_mean.hpp"
#include "kernels/listed_rows.hpp"
#include "kernels/nonfinite.hpp"

namespace heedful {
namespace {

template <class T>
struct Call {
  const Problem& problem;
  const ForwardCall<T>& scores;
  const TensorView& value;
  const TensorView& out;
  const TensorView& lse;
  const TensorView& kept;
  T dropout_factor;
};

template <class T>
struct Scratch {
  Selection<T> selection;
  WorkArea area;
  GatheredRows<T> values;
  RowVectors<T> vectors;  // of Dv
  T* sum;                 // (Dv), as vectors
  T* row;                 // (Dv), padded

  Scratch(const Call<T>& call, std::byte* memory)
      : selection(call.scores, memory),
        area(memory ? memory + selection.size() : nullptr),
        values(call.value, call.problem.value_depth, area),
        vectors(call.problem.value_depth) {
    sum = area.take<T>(padded<T>(call.problem.value_depth));
    row = area.take<T>(padded<T>(call.problem.value_depth));
  }
  std::size_t size() const { return selection.size() + area.size(); }
};

// The kept keys of a row, and their weights in the result.
template <class T>
struct KeptKeys {
  const KeyIndex* keys = nullptr;
  const T* weights = nullptr;
  std::ptrdiff_t count = 0;
};

template <class T>
void write_kept(const Call<T>& call, std::ptrdiff_t item, Row row, const KeyIndex* keys,
                std::ptrdiff_t count) {
  if (!call.kept) return;
  const std::ptrdiff_t first = call.problem.items[item].query_begin;
  auto* const to = reinterpret_cast<KeyIndex*>(call.kept.row(item, row.head, first + row.query));
  std::copy_n(keys, count, to);
  std::fill(to + count, to + call.problem.top_k, no_key);
}

// A row whose sum overflowed, although its weighted mean is in range: see scaled_mean.hpp.
template <class T>
void recompute_row(const Call<T>& call, std::ptrdiff_t item, std::ptrdiff_t kv_head,
                   const KeptKeys<T>& kept, const Scratch<T>& scratch) {
  const std::ptrdiff_t columns = call.problem.value_depth;
  const T largest = largest_finite<T>(call.out.type);
  for (std::ptrdiff_t column = 0; column < columns; ++column) {
    if (std::isfinite(scratch.row[column])) continue;
    T scaled = 0;
    for (std::ptrdiff_t i = 0; i < kept.count; ++i) {
      const T value = scratch.values.load(item, kv_head, call.problem.items[item].key_begin,
                                          kept.keys + i, 1)[0][column];
      scaled += kept.weights[i] * (value * value_scale<T>);
    }
    scratch.row[column] = unscaled_mean(scaled, largest, call.problem.dropout_p == 0);
  }
}

// out = Σ_i weights[i] · value[keys[i]]. The values of the next row are prefetched.
template <class T>
void write_out(const Call<T>& call, std::ptrdiff_t item, std::ptrdiff_t kv_head, Row row,
               const KeptKeys<T>& kept, const KeptKeys<T>& next, const Scratch<T>& scratch) {
  constexpr std::ptrdiff_t max_rows = GatheredRows<T>::max_rows;
  const Problem& problem = call.problem;
  const Item& own = problem.items[item];
  if (kept.count == 0) std::fill_n(scratch.sum, padded<T>(problem.value_depth), T{0});
  scratch.values.prefetch(item, kv_head, own.key_begin, next.keys, std::min(next.count, max_rows));
  for (std::ptrdiff_t begin = 0; begin < kept.count; begin += max_rows) {
    const std::ptrdiff_t here = std::min(max_rows, kept.count - begin);
    const KeyIndex* const keys = kept.keys + begin;
    const T* const* const rows = scratch.values.load(item, kv_head, own.key_begin, keys, here);
    scratch.values.prefetch(item, kv_head, own.key_begin, keys + here,
                            std::min(max_rows, kept.count - begin - here));
    weigh_listed(kept.weights + begin, rows, here, scratch.vectors, begin > 0, scratch.sum);
  }
  scratch.vectors.join(scratch.sum, T{1}, scratch.row);
  if (!all_finite(Rows<T>{scratch.row, 0}, 1, problem.value_depth)) {
    recompute_row(call, item, kv_head, kept, scratch);
  }
  write_row(scratch.row, call.out.row(item, row.head, own.query_begin + row.query), call.out.type,
            call.out.column_stride, problem.value_depth);
}

// Whether a sink is out of range in units of the scores: these are small where the scale is.
template <class T>
bool exceeds_unit(const ScoreRule<T>& rule, const double* sink, std::ptrdiff_t head) {
  if (!sink || rule.natural >= 1 || !std::isfinite(sink[head])) return false;
  const double limit = static_cast<double>(std::numeric_limits<T>::max());
  return std::abs(sink[head]) > limit * static_cast<double>(rule.natural);
}

// Includes a sink in lse and in the factor of the weights, of a row that was summed without it.
template <class T>
void include_sink(double sink, T& lse, T& factor) {
  const auto without = static_cast<double>(lse);
  const double distance = std::abs(without - sink);
  const double total = std::max(without, sink) + std::log1p(std::exp(-distance));
  factor *= static_cast<T>(std::exp(without - total));
  lse = finite_cast<T>(total);
}

// The softmax of the kept keys of a panel's rows, and their results.
template <class T>
void write_panel(const Call<T>& call, std::ptrdiff_t item, std::ptrdiff_t kv_head,
                 const PanelKeys<T>& selected, const Scratch<T>& scratch) {
  const Problem& problem = call.problem;
  const ScoreRule<T>& rule = call.scores.rule;
  const Panel<T>& panel = selected.panel;
  const Candidates<T>& kept = selected.candidates;
  for (int lane = 0; lane < panel.count; ++lane) {
    const Row row{panel.head[lane], panel.query[lane]};
    const KeyIndex* const keys = kept.keys(lane);
    const std::ptrdiff_t count = kept.count(lane);
    T* const weights = kept.scores(lane);
    const bool noisy = problem.gumbel_temperature > 0;  // then units are not small
    const bool sink_is_apart = !noisy && exceeds_unit(rule, problem.sink, row.head);
    T maximum, sum;
    // in units of the scores
    start_row(maximum, sum, sink_is_apart ? nullptr : problem.sink, row.head,
              noisy ? rule.unit : 1 / rule.natural);
    with_normalizer(rule, [&](const auto& normalizer) {
      add_row(normalizer, weights, count, maximum, sum, weights, 0);
    });
    write_kept(call, item, row, keys, count);
    T lse = log_sum_exp(rule, maximum, sum);
    T factor = out_factor(rule, sum, call.dropout_factor);
    if (sink_is_apart) include_sink(problem.sink[row.head], lse, factor);
    if (call.lse) {
      const std::ptrdiff_t query = problem.items[item].query_begin + row.query;
      *reinterpret_cast<T*>(call.lse.row(item, row.head, query)) = lse;
    }
    if (problem.value_depth == 0) continue;
    for (std::ptrdiff_t i = 0; i < count; ++i) weights[i] *= factor;
    if (problem.dropout_p > 0) {
      apply_dropout_keys(problem, item, row.head, row.query, keys, count, T{1}, weights);
    }
    const bool last = lane + 1 == panel.count;
    write_out(
        call, item, kv_head, row, KeptKeys<T>{keys, weights, count},
        last ? KeptKeys<T>{} : KeptKeys<T>{kept.keys(lane + 1), nullptr, kept.count(lane + 1)},
        scratch);
  }
}

}  // namespace

template <class T>
void top_k_forward(const Problem& problem, const TensorView& query, const TensorView& key,
                   const TensorView& value, const TensorView& out, const TensorView& lse,
                   const TensorView& kept, const Team& team) {
  const RowBlocks<T> blocks(problem);
  // A sink must not change the rounding of the scores: gradients and probabilities are computed
  // without it, and select the same keys.
  Problem without_sink = problem;
  without_sink.sink = nullptr;
  CallWithoutValues<T> scores(without_sink, query, key, problem.bfloat16.products);
  scores.call.shared_keys = blocks.shared_keys();
  const Call<T> call{
      problem, scores.call, value, out, lse, kept, static_cast<T>(dropout_factor(problem))};
  const Team used = threads_for(cost_of(problem), team);
  SplitLists<T> lists(problem, blocks.size(), used.threads);
  const auto run = [&](std::ptrdiff_t task, Worker& worker) {
    constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;
    const std::ptrdiff_t index = task / lists.splits(), split = task % lists.splits();
    const RowBlock block = blocks[index];
    const Scratch<T> scratch(call, worker.scratch);
    if (worker.first_task) scratch.selection.start(call.scores);
    const std::ptrdiff_t panels = (block.count + lanes - 1) / lanes;
    for (std::ptrdiff_t p = 0; p < panels; ++p) {
      const std::ptrdiff_t count = std::min(lanes, block.count - p * lanes);
      fill_panel(scratch.selection[p].panel, problem, problem.items[block.item], block.kv_head,
                 block.first + p * lanes, static_cast<int>(count));
    }
    scratch.selection.select_keys(call.scores, block.item, block.kv_head, block.count, panels,
                                  worker, {split, lists.splits()});
    if (lists.splits() > 1 && !lists.merge(index, block, split, scratch.selection)) return;
    for (std::ptrdiff_t p = 0; p < panels; ++p) {
      worker.check();
      write_panel(call, block.item, block.kv_head, scratch.selection[p], scratch);
    }
  };
  parallel_for(blocks.size() * lists.splits(), used, Scratch<T>(call, nullptr).size(), run);
}

template void top_k_forward<float>(const Problem&, const TensorView&, const TensorView&,
                                   const TensorView&, const TensorView&, const TensorView&,
                                   const TensorView&, const Team&);
template void top_k_forward<double>(const Problem&, const TensorView&, const TensorView&,
                                    const TensorView&, const TensorView&, const TensorView&,
                                    const TensorView&, const Team&);

}  // namespace heedful
