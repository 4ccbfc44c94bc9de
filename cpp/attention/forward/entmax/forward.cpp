#include "attention/forward/entmax/forward.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "arrays/small_buffer.hpp"
#include "arrays/work_area.hpp"
#include "attention/forward/entmax/panel_rows.hpp"
#include "attention/forward/entmax/thresholds.hpp"
#include "attention/forward/entmax/weights.hpp"
#include "attention/forward/panels/float_products.hpp"
#include "attention/forward/panels/panel_output.hpp"
#include "attention/problem/block_rows.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"

namespace heedful {
namespace {

template <class T>
struct Call {
  const EntmaxTensors& tensors;
  const ForwardCall<T>& forward;           // writes out
  const ForwardCall<T>& mean;              // writes mean
  const ForwardCall<T>& alpha_derivative;  // writes alpha_derivative
  const PanelRows<T>& rows;
};

// A weighted sum of the values, and what it is divided by.
template <class T>
struct Sum {
  T* out;      // (Dv, lanes)
  T* divisor;  // (lanes)
};

template <class T>
struct Scratch {
  static constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;

  WorkArea area;
  FloatProducts<T> products;
  Thresholds<T> thresholds;
  Panel<T>* panel;
  T* query_rows;  // (lanes + 1, D or Dv)
  T* maximum;     // (lanes)
  T* scores;      // (keys, lanes)
  T* buffer;      // (tile, lanes): of the mask, then the scores of weights
  TileWeights<T> weights;
  Sum<T> out, mean, alpha_derivative;

  Scratch(const Call<T>& call, std::byte* memory)
      : area(memory), products(call.forward, 1, area), thresholds(area) {
    const Problem& problem = call.forward.problem;
    const std::ptrdiff_t tile = KeyTiles::max_keys(tile_keys(problem));
    panel = area.take<Panel<T>>(1);
    query_rows = area.take<T>((lanes + 1) * std::max(problem.depth, problem.value_depth));
    maximum = area.take<T>(lanes);
    scores = area.take<T>(call.rows.max_scores());
    buffer = area.take<T>(std::max(tile * lanes, mask_tile_size<T>(tile)));
    const auto sum = [&](bool wanted) {
      return wanted ? Sum<T>{area.take<T>(problem.value_depth * lanes), area.take<T>(lanes)}
                    : Sum<T>{nullptr, nullptr};
    };
    const bool has_mean{call.tensors.mean}, has_derivative{call.tensors.alpha_derivative};
    out = sum(true);
    mean = sum(has_mean);
    alpha_derivative = sum(has_derivative);
    weights = {nullptr, has_mean ? area.take<T>(tile * lanes) : nullptr,
               has_derivative ? area.take<T>(tile * lanes) : nullptr};
  }
};

// A key tile whose scores are kept: of `keys`, the others being hidden, from position `at`.
struct ScoredTile {
  KeyRange tile, keys;
  std::ptrdiff_t at;
};

template <class T>
using FloatTile = typename FloatProducts<T>::Tile;

// Scores of all tiles, and their maxima. Returns how many keys they have.
template <class T>
std::ptrdiff_t write_scores(const Call<T>& call, const RowTask& task, const KeyTiles& tiles,
                            ScoredTile* scored, const Scratch<T>& scratch, Worker& worker) {
  const Problem& problem = call.forward.problem;
  const ScoreRule<T>& rule = call.forward.rule;
  const Panel<T>& panel = *scratch.panel;
  RowPrefetch nothing;
  std::ptrdiff_t at = 0;
  std::fill_n(scratch.maximum, panel.lanes(), minus_infinity<T>);
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    const TilePlan<T> plan = plan_tile(problem, task.item, panel, tiles[t], rule, scratch.buffer);
    scored[t] = {tiles[t], plan.keys, at};
    if (plan.keys.empty()) continue;
    FloatTile<T> tile(scratch.products, task, tiles[t]);
    T* const scores = scratch.scores + at * panel.lanes();
    tile.score(panel, 0, plan.keys, scores, plan.changes ? nullptr : scratch.maximum, nothing);
    finish_tile(problem, task.item, panel, plan, rule,
                ScoreBuffers<T>{scores, scratch.buffer, scratch.maximum});
    at += plan.keys.size();
  }
  return at;
}

// Adds weights · values of a tile to a sum, over the groups of keys that are used.
template <class T>
void add_values(const Panel<T>& panel, KeyRange keys, std::uint64_t used, const T* seen, T* weights,
                FloatTile<T>& tile, T* out) {
  RowPrefetch nothing;
  if (seen) {
    tile.add_visible_values(panel, keys, const_cast<T*>(seen), weights, out, true);
    return;
  }
  const auto is_used = [&](std::ptrdiff_t group) { return (used >> group & 1) != 0; };
  const std::ptrdiff_t groups = (keys.size() + group_keys - 1) / group_keys;
  for (std::ptrdiff_t group = 0; group < groups;) {
    if (!is_used(group)) {
      ++group;
      continue;
    }
    const std::ptrdiff_t first = group;
    while (group < groups && is_used(group)) ++group;
    const KeyRange run{keys.begin + first * group_keys,
                       std::min(keys.begin + group * group_keys, keys.end)};
    tile.add_values(panel, run, weights + (run.begin - keys.begin) * panel.lanes(), out, true,
                    nothing);
  }
}

// The weights of a tile, and their contributions to the sums. False if some value is NaN or ∞.
template <class T>
bool add_tile(const Call<T>& call, const RowTask& task, const ScoredTile& scored, double alpha,
              const Scratch<T>& scratch) {
  const Problem& problem = call.forward.problem;
  const Panel<T>& panel = *scratch.panel;
  TileWeights<T> weights = scratch.weights;
  weights.probabilities = scratch.scores + scored.at * panel.lanes();
  const std::uint64_t used = write_weights(alpha, scratch.thresholds, panel.lanes(),
                                           scored.keys.size(), weights, scratch.mean.divisor);
  if (used == 0) return true;
  FloatTile<T> tile(scratch.products, task, scored.tile);
  const T* seen = nullptr;
  if (tile.must_select(scored.keys, true)) {
    for (std::ptrdiff_t i = 0; i < scored.keys.size() * panel.lanes(); ++i) {
      scratch.buffer[i] = weights.probabilities[i] == 0 ? minus_infinity<T> : T{0};
    }
    seen = scratch.buffer;
  }
  const auto add = [&](T* own, const Sum<T>& sum) {
    if (!own) return;
    if (problem.dropout_p > 0) apply_dropout(problem, task.item, panel, scored.keys, T{1}, own);
    add_values(panel, scored.keys, used, seen, own, tile, sum.out);
  };
  add(weights.probabilities, scratch.out);
  add(weights.slopes, scratch.mean);
  add(weights.derivatives, scratch.alpha_derivative);
  return seen == nullptr;
}

template <class T>
void write_thresholds(const Call<T>& call, std::ptrdiff_t item, const Scratch<T>& scratch) {
  if (!call.tensors.thresholds) return;
  const Panel<T>& panel = *scratch.panel;
  const Thresholds<T>& own = scratch.thresholds;
  const std::ptrdiff_t first = call.forward.problem.items[item].query_begin;
  constexpr double infinity = std::numeric_limits<double>::infinity();
  for (int lane = 0; lane < panel.count; ++lane) {
    const bool empty = scratch.maximum[lane] == minus_infinity<T>;
    *reinterpret_cast<RowThreshold*>(
        call.tensors.thresholds.row(item, panel.head[lane], first + panel.query[lane])) =
        empty ? RowThreshold{infinity, infinity}
              : RowThreshold{static_cast<double>(own.base[lane]), own.exact[lane]};
  }
}

// Weighted means of finite values that rounding has taken past the largest finite number.
template <class T>
void clamp(T* means, std::ptrdiff_t count) {
  constexpr T largest = std::numeric_limits<T>::max();
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    if (std::isinf(means[i])) means[i] = means[i] < 0 ? -largest : largest;
  }
}

template <class T>
void run(const Call<T>& call, const typename PanelRows<T>::Place& place, Worker& worker) {
  const Scratch<T> scratch(call, worker.scratch);
  if (worker.first_task) scratch.products.clear();
  const Problem& problem = call.forward.problem;
  Panel<T>& panel = *scratch.panel;
  fill_panel(panel, problem, problem.items[place.item], place.kv_head, place.first,
             static_cast<int>(place.count));
  scratch.products.load_queries(place.item, panel, 0, scratch.query_rows);
  // its rows are those of all panels that a thread is likely to compute of the head: keys and
  // values that cannot be read in place are copied for these
  const RowTask task{place.item,
                     place.kv_head,
                     place.first,
                     std::min<std::ptrdiff_t>(call.rows.rows(place.item), 4 * Scratch<T>::lanes),
                     {0, problem.items[place.item].keys},
                     0};
  const KeyTiles tiles(panel.any, tile_keys(problem), BlockRows(problem, panel));
  SmallBuffer<ScoredTile, 16> scored(tiles.count());
  const std::ptrdiff_t keys = write_scores(call, task, tiles, scored.begin(), scratch, worker);
  find_thresholds(problem, call.forward.rule, panel, scratch.scores, keys, scratch.maximum,
                  scratch.thresholds);
  write_thresholds(call, place.item, scratch);
  if (problem.value_depth == 0) return;

  if (scratch.weights.derivatives) sum_slopes(panel, scratch.scores, keys, scratch.thresholds);
  for (const Sum<T>& sum : {scratch.out, scratch.mean, scratch.alpha_derivative}) {
    if (!sum.out) continue;
    std::fill_n(sum.out, problem.value_depth * panel.lanes(), T{0});
    std::fill_n(sum.divisor, panel.lanes(), T{0});
  }
  const double alpha = common_alpha(panel, problem.alphas);
  bool finite = true;
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    if (!scored[t].keys.empty()) finite &= add_tile(call, task, scored[t], alpha, scratch);
  }
  for (const Sum<T>& sum : {scratch.out, scratch.mean}) {
    if (finite && sum.out) clamp(sum.out, problem.value_depth * panel.lanes());
  }
  const auto write = [&](const ForwardCall<T>& forward, const Sum<T>& sum) {
    write_out(forward, place.item, panel, RunningSoftmax<T>{scratch.maximum, sum.divisor, sum.out},
              scratch.query_rows);
  };
  std::fill_n(scratch.out.divisor, panel.lanes(), T{1});
  write(call.forward, scratch.out);
  if (call.tensors.mean) write(call.mean, scratch.mean);
  if (call.tensors.alpha_derivative) {
    std::fill_n(scratch.alpha_derivative.divisor, panel.lanes(), T{1});
    write(call.alpha_derivative, scratch.alpha_derivative);
  }
}

}  // namespace

template <class T>
void entmax_forward(const Problem& problem, const EntmaxTensors& tensors, const Team& team) {
  const PanelRows<T> rows(problem);
  const TensorView none;
  const ScoreRule<T> rule = score_rule<T>(problem);
  const auto factor = static_cast<T>(dropout_factor(problem));
  const auto writing = [&](const TensorView& out) {
    return ForwardCall<T>{problem, tensors.query, tensors.key, tensors.value, out,
                          none,    rule,          factor,      nullptr,       rows.max_keys()};
  };
  const ForwardCall<T> forward = writing(tensors.out), mean = writing(tensors.mean),
                       alpha_derivative = writing(tensors.alpha_derivative);
  const Call<T> call{tensors, forward, mean, alpha_derivative, rows};
  parallel_for(rows.size(), threads_for(cost_of(problem), team),
               Scratch<T>(call, nullptr).area.size(),
               [&](std::ptrdiff_t index, Worker& worker) { run(call, rows[index], worker); });
}

template void entmax_forward<float>(const Problem&, const EntmaxTensors&, const Team&);
template void entmax_forward<double>(const Problem&, const EntmaxTensors&, const Team&);

}  // namespace heedful
