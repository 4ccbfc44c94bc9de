#include "attention/backward/penalty/row_statistics.hpp"

#include <algorithm>
#include <cmath>

#include "arrays/prefetch.hpp"
#include "arrays/ragged_range.hpp"
#include "arrays/work_area.hpp"
#include "attention/backward/penalty/target_tile.hpp"
#include "attention/forward/panels/float_products.hpp"
#include "attention/forward/prefill/prefill.hpp"
#include "attention/forward/probabilities/call_without_values.hpp"
#include "attention/forward/probabilities/row_scale.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/normalizer.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

template <class T>
struct Call {
  const ForwardCall<T>& forward;
  const RowScales<T>& scales;
  const TensorView& lse;
  const TensorView& statistics;
  const StatisticsWanted& wanted;
};

// Of one panel of a task.
template <class T>
struct PanelSums {
  Panel<T>* panel;
  T *base, *factor, *lse;  // (lanes)
  double* totals;          // (7, lanes)
};

template <class T>
struct Scratch {
  static constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;
  static constexpr int max_panels = 4;

  WorkArea area;
  FloatProducts<T> products;
  PanelSums<T> sums[max_panels];
  T* query_rows;  // (lanes, D)
  T* scores;      // (tile, lanes)
  T* mask;
  T* target;  // (tile, lanes)

  Scratch(const Call<T>& call, std::byte* memory)
      : area(memory), products(call.forward, max_panels, area) {
    const Problem& problem = call.forward.problem;
    const std::ptrdiff_t tile = KeyTiles::max_keys(tile_keys(problem));
    for (PanelSums<T>& own : sums) {
      own.panel = area.take<Panel<T>>(1);
      own.base = area.take<T>(lanes);
      own.factor = area.take<T>(lanes);
      own.lse = area.take<T>(lanes);
      own.totals = area.take<double>(row_statistics_count * lanes);
    }
    query_rows = area.take<T>(lanes * problem.depth);
    scores = area.take<T>(tile * lanes);
    mask = area.take<T>(mask_tile_size<T>(tile));
    target = area.take<T>(call.wanted.target ? tile * lanes : 0);
  }
};

template <class T>
void add_to(double* totals, const simd::Packet<T>& sums) {
  alignas(64) T values[simd::lanes<T>];
  simd::store(values, sums);
  for (int i = 0; i < simd::lanes<T>; ++i) totals[i] += static_cast<double>(values[i]);
}

// Adds one tile's scores [key][lane] to the first two totals, or to the next three.
template <class T, bool Probabilities, class Normalizer>
void add_tile(const Normalizer& normalizer, T natural, std::ptrdiff_t keys, const T* scores,
              const PanelSums<T>& own) {
  using P = simd::Packet<T>;
  const int lanes = own.panel->lanes();
  const P zero = simd::broadcast(T{0}), one = simd::broadcast(T{1});
  const P hidden_score = simd::broadcast(minus_infinity<T>), unit = simd::broadcast(natural);
  for (int lane = 0; lane < lanes; lane += simd::lanes<T>) {
    const P base = simd::load(own.base + lane), factor = simd::load(own.factor + lane);
    const P lse = simd::load(own.lse + lane);
    P first = zero, second = zero, visible = zero;
    for (std::ptrdiff_t key = 0; key < keys; ++key) {
      const P score = simd::load(scores + key * lanes + lane);
      const P hidden = simd::equal(score, hidden_score);
      const P value = simd::multiply(score, unit);
      if constexpr (Probabilities) {
        // a selection, not a product: lse is NaN if an attended score is NaN
        const P p = simd::select(hidden, zero, normalizer.probability(score, base, factor));
        first = simd::multiply_add(p, p, first);
        const P product = simd::multiply(p, simd::subtract(lse, value));
        second = simd::add(second, simd::select(simd::equal(p, zero), zero, product));
      } else {
        const P seen = simd::select(hidden, zero, value);
        first = simd::add(first, simd::absolute(seen));
        second = simd::multiply_add(seen, seen, second);
        visible = simd::add(visible, simd::select(hidden, zero, one));
      }
    }
    double* const totals = own.totals + (Probabilities ? 0 : 2 * lanes) + lane;
    add_to<T>(totals, first);
    add_to<T>(totals + lanes, second);
    if constexpr (!Probabilities) add_to<T>(totals + 2 * lanes, visible);
  }
}

// Adds Σ t and Σ t (log t − log p) of one tile.
template <class T>
void add_target(T natural, std::ptrdiff_t keys, const T* scores, const T* target,
                const PanelSums<T>& own) {
  const int lanes = own.panel->lanes();
  double* const sums = own.totals + 5 * lanes;
  for (std::ptrdiff_t key = 0; key < keys; ++key) {
    for (int lane = 0; lane < own.panel->count; ++lane) {
      const T score = scores[key * lanes + lane], t = target[key * lanes + lane];
      if (score == minus_infinity<T> || t == 0) continue;
      const T log_ratio = std::log(t) - (score * natural - own.lse[lane]);
      sums[lane] += static_cast<double>(t);
      sums[lanes + lane] += static_cast<double>(t) * static_cast<double>(log_ratio);
    }
  }
}

template <class T>
void add_panel(const Call<T>& call, std::ptrdiff_t item, KeyRange keys, int index,
               typename FloatProducts<T>::Tile& tile, const Scratch<T>& scratch) {
  const Problem& problem = call.forward.problem;
  const ScoreRule<T>& rule = call.forward.rule;
  const PanelSums<T>& own = scratch.sums[index];
  const TilePlan<T> plan = plan_tile(problem, item, *own.panel, keys, rule, scratch.mask);
  if (plan.keys.empty()) return;
  RowPrefetch nothing;
  tile.score(*own.panel, index, plan.keys, scratch.scores, nullptr, nothing);
  finish_tile(problem, item, *own.panel, plan, rule, ScoreBuffers<T>{scratch.scores, scratch.mask});
  const std::ptrdiff_t count = plan.keys.size();
  with_normalizer(rule, [&](const auto& normalizer) {
    if (call.wanted.probabilities) {
      add_tile<T, true>(normalizer, rule.natural, count, scratch.scores, own);
    }
    if (call.wanted.scores) {
      add_tile<T, false>(normalizer, rule.natural, count, scratch.scores, own);
    }
  });
  if (!call.wanted.target) return;
  write_target(call.wanted.target, item, *own.panel, plan.keys, scratch.target);
  add_target(rule.natural, count, scratch.scores, scratch.target, own);
}

template <class T>
void load_panel(const Call<T>& call, const RowTask& task, std::ptrdiff_t first, int count,
                int index, const Scratch<T>& scratch) {
  const Problem& problem = call.forward.problem;
  const Item& item = problem.items[task.item];
  const PanelSums<T>& own = scratch.sums[index];
  Panel<T>& panel = *own.panel;
  fill_panel(panel, problem, item, task.kv_head, task.first_row + first, count);
  scratch.products.load_queries(task.item, panel, index, scratch.query_rows);
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    const std::ptrdiff_t head = panel.head[lane], query = panel.query[lane];
    own.base[lane] = call.scales.base(task.item, head, query);
    own.factor[lane] = call.scales.factor(task.item, head, query);
    own.lse[lane] =
        *reinterpret_cast<const T*>(call.lse.row(task.item, head, item.query_begin + query));
  }
  std::fill_n(own.totals, row_statistics_count * panel.lanes(), 0.0);
}

template <class T>
void write_panel(const Call<T>& call, std::ptrdiff_t item, const PanelSums<T>& own) {
  const Panel<T>& panel = *own.panel;
  for (int lane = 0; lane < panel.count; ++lane) {
    const std::ptrdiff_t row = call.forward.problem.items[item].query_begin + panel.query[lane];
    T* const to = reinterpret_cast<T*>(call.statistics.row(item, panel.head[lane], row));
    for (int index = 0; index < row_statistics_count; ++index) {
      to[index] = static_cast<T>(own.totals[index * panel.lanes() + lane]);
    }
  }
}

template <class T>
void run(const Call<T>& call, const RowTask& task, Worker& worker) {
  const Problem& problem = call.forward.problem;
  constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;
  const Scratch<T> scratch(call, worker.scratch);
  const int panels = static_cast<int>((task.rows + lanes - 1) / lanes);
  KeyRange keys{task.keys.end, task.keys.begin};
  BlockRows blocks(problem, task.rows);
  for (int p = 0; p < panels; ++p) {
    const std::ptrdiff_t first = p * lanes;
    load_panel(call, task, first, static_cast<int>(std::min(lanes, task.rows - first)), p, scratch);
    const Panel<T>& panel = *scratch.sums[p].panel;
    blocks.add(panel);
    if (panel.any.empty()) continue;
    keys.begin = std::min(keys.begin, panel.any.begin);
    keys.end = std::max(keys.end, panel.any.end);
  }
  const KeyTiles tiles(keys, tile_keys(problem), blocks);
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    typename FloatProducts<T>::Tile tile(scratch.products, task, tiles[t]);
    for (int p = 0; p < panels; ++p) add_panel(call, task.item, tiles[t], p, tile, scratch);
  }
  for (int p = 0; p < panels; ++p) write_panel(call, task.item, scratch.sums[p]);
}

}  // namespace

template <class T>
void row_statistics(const Problem& problem, const TensorView& query, const TensorView& key,
                    const TensorView& lse, const TensorView& statistics,
                    const StatisticsWanted& wanted, const Team& team) {
  const CallWithoutValues<T> inputs(problem, query, key, simd::Bfloat16Way::widened);
  const Team threads = threads_for(cost_of(problem), team);
  const RowScales<T> scales(problem, query, key, lse, threads);
  const Call<T> call{inputs.call, scales, lse, statistics, wanted};
  const RaggedRange tasks(problem.num_items, problem.num_kv_heads, [&](std::ptrdiff_t i) {
    return (problem.group() * problem.items[i].queries + prefill_rows<T> - 1) / prefill_rows<T>;
  });
  parallel_for(tasks.size(), threads, Scratch<T>(call, nullptr).area.size(),
               [&](std::ptrdiff_t index, Worker& worker) {
                 const RaggedRange::Place place = tasks[index];
                 const Item& item = problem.items[place.item];
                 const std::ptrdiff_t first = place.index * prefill_rows<T>;
                 const std::ptrdiff_t rows =
                     std::min(prefill_rows<T>, problem.group() * item.queries - first);
                 run(call, RowTask{place.item, place.head, first, rows, {0, item.keys}, 0}, worker);
               });
}

template void row_statistics<float>(const Problem&, const TensorView&, const TensorView&,
                                    const TensorView&, const TensorView&, const StatisticsWanted&,
                                    const Team&);
template void row_statistics<double>(const Problem&, const TensorView&, const TensorView&,
                                     const TensorView&, const TensorView&, const StatisticsWanted&,
                                     const Team&);

}  // namespace heedful
