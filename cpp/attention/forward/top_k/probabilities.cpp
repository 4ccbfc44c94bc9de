#include "attention/forward/top_k/probabilities.hpp"

#include <algorithm>

#include "arrays/ragged_range.hpp"
#include "arrays/rows.hpp"
#include "arrays/work_area.hpp"
#include "attention/forward/probabilities/call_without_values.hpp"
#include "attention/forward/top_k/kept_scale.hpp"
#include "attention/forward/top_k/selection.hpp"
#include "attention/softmax/dropout.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

template <class T>
struct Call {
  const ForwardCall<T>& scores;
  const TensorView& lse;
  const TensorView& result;
  const SelectedRows& selected;
  T factor;  // dropout's, and 1 / H of an average
};

template <class T>
struct Scratch {
  Selection<T> selection;
  WorkArea area;
  T* buffer;  // (top_k)

  Scratch(const ForwardCall<T>& call, std::byte* memory)
      : selection(call, memory), area(memory ? memory + selection.size() : nullptr) {
    buffer = area.take<T>(padded<T>(call.problem.top_k));
  }
  std::size_t size() const { return selection.size() + area.size(); }
};

// Adds the probabilities of one lane to a row of the result.
template <class T>
void add_lane(const Call<T>& call, std::ptrdiff_t item, const PanelKeys<T>& selected, int lane,
              T* row, const Scratch<T>& scratch) {
  const Problem& problem = call.scores.problem;
  const ScoreRule<T>& rule = call.scores.rule;
  const Panel<T>& panel = selected.panel;
  const std::ptrdiff_t count = selected.candidates.count(lane);
  const KeyIndex* const keys = selected.candidates.keys(lane);
  T* const scores = selected.candidates.scores(lane);  // replaced by probabilities
  const std::ptrdiff_t head = panel.head[lane], query = panel.query[lane];
  const T lse = *reinterpret_cast<const T*>(
      call.lse.row(item, head, problem.items[item].query_begin + query));
  const KeptScale<T> scale(rule, lse, scores, count, scratch.buffer);
  const auto base = simd::broadcast(scale.base), factor = simd::broadcast(scale.factor);
  with_normalizer(rule, [&](const auto& normalizer) {
    for (std::ptrdiff_t i = 0; i < count; i += simd::lanes<T>) {
      simd::store(scores + i, normalizer.probability(simd::load(scores + i), base, factor));
    }
  });
  if (problem.dropout_p > 0) {
    apply_dropout_keys(problem, item, head, query, keys, count, T{1}, scores);
  }
  for (std::ptrdiff_t i = 0; i < count; ++i) row[keys[i]] += scores[i] * call.factor;
}

}  // namespace

template <class T>
void top_k_probabilities(const Problem& problem, const TensorView& query, const TensorView& key,
                         const TensorView& lse, const TensorView& probabilities,
                         const SelectedRows& selected, bool average_heads, const Team& team) {
  constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;
  const CallWithoutValues<T> scores(problem, query, key, problem.bfloat16.products);
  const double heads = average_heads ? static_cast<double>(problem.num_heads) : 1;
  const Call<T> call{scores.call, lse, probabilities, selected,
                     static_cast<T>(dropout_factor(problem) / heads)};
  const RaggedRange panels(problem.num_items, average_heads ? 1 : problem.num_heads,
                           [&](std::ptrdiff_t) { return (selected.count + lanes - 1) / lanes; });
  const auto run = [&](std::ptrdiff_t index, Worker& worker) {
    const auto [item, result_head, block] = panels[index];
    const Scratch<T> scratch(call.scores, worker.scratch);
    if (worker.first_task) scratch.selection.start(call.scores);
    // the selected rows that belong to the item, and their queries
    std::ptrdiff_t queries[lanes];
    T* rows[lanes];
    int count = 0;
    const std::ptrdiff_t end = std::min((block + 1) * lanes, selected.count);
    for (std::ptrdiff_t n = block * lanes; n < end; ++n) {
      const std::ptrdiff_t own = selected.rows ? selected.rows[n] : n;
      if (own >= problem.items[item].queries) continue;
      queries[count] = own;
      rows[count] = reinterpret_cast<T*>(call.result.row(item, result_head, n));
      std::fill_n(rows[count++], selected.key_rows, T{0});
    }
    if (count == 0) return;
    const std::ptrdiff_t first_head = average_heads ? 0 : result_head;
    const std::ptrdiff_t end_head = average_heads ? problem.num_heads : result_head + 1;
    PanelKeys<T>& panel_keys = scratch.selection[0];
    for (std::ptrdiff_t head = first_head; head < end_head; ++head) {
      for (int lane = 0; lane < count; ++lane) {
        set_lane(panel_keys.panel, lane, problem, problem.items[item], head, queries[lane]);
      }
      finish_panel(panel_keys.panel, problem, problem.items[item], count);
      scratch.selection.select_keys(call.scores, item, head / problem.group(), count, 1, worker);
      for (int lane = 0; lane < count; ++lane) {
        add_lane(call, item, panel_keys, lane, rows[lane], scratch);
      }
    }
  };
  parallel_for(panels.size(), threads_for(cost_of(problem), team),
               Scratch<T>(scores.call, nullptr).size(), run);
}

template void top_k_probabilities<float>(const Problem&, const TensorView&, const TensorView&,
                                         const TensorView&, const TensorView&, const SelectedRows&,
                                         bool, const Team&);
template void top_k_probabilities<double>(const Problem&, const TensorView&, const TensorView&,
                                          const TensorView&, const TensorView&, const SelectedRows&,
                                          bool, const Team&);

}  // namespace heedful
