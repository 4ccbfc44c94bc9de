#include "attention/forward/probabilities/one_pass.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "arrays/even_ranges.hpp"
#include "arrays/panel_transposes.hpp"
#include "arrays/ragged_range.hpp"
#include "arrays/small_buffer.hpp"
#include "attention/forward/overflow.hpp"
#include "attention/forward/panels/float_products.hpp"
#include "attention/forward/prefill/task.hpp"
#include "attention/forward/prefill/tile_step.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/softmax/dropout.hpp"
#include "simd/overflow_flag.hpp"

namespace heedful {
namespace {

// Of the weights that a thread keeps.
constexpr std::ptrdiff_t max_kept_bytes = std::ptrdiff_t{8} << 20;

template <class T>
constexpr std::ptrdiff_t max_rows =
    PrefillScratch<FloatProducts<T>>::max_panels * Panel<T>::max_lanes;

template <class T>
struct Call {
  const ForwardCall<T>& forward;
  const TensorView& probabilities;
  bool average_heads;
  std::ptrdiff_t max_keys;  // of an item
};

template <class T>
struct Scratch : PrefillScratch<FloatProducts<T>> {
  T* kept;    // (panels, keys, lanes)
  T* maxima;  // (panels, tiles, lanes)

  // The first part is that of prefill: rows that are kept from task to task stay in their place.
  Scratch(const Call<T>& call, std::byte* memory)
      : PrefillScratch<FloatProducts<T>>(call.forward, memory) {
    kept = this->area.template take<T>(max_rows<T> * call.max_keys);
    // a block mask may make a tile of each of its blocks
    const Problem& problem = call.forward.problem;
    const std::ptrdiff_t tile = problem.block_mask
                                    ? std::min(tile_keys(problem), problem.block_mask.block_keys)
                                    : tile_keys(problem);
    maxima = this->area.template take<T>(max_rows<T> * (call.max_keys / tile + 2));
  }
};

// The weights of one panel and tile.
template <class T>
struct KeptTile {
  KeyRange tile, keys;
  T* weights;  // (keys, lanes)
  T* maximum;  // (lanes), m_t
};

template <class T>
class WeightRows {
  using Products = FloatProducts<T>;

 public:
  WeightRows(const Call<T>& call, const RowTask& task, const Panel<T>& panel, int index,
             const RunningSoftmax<T>& state, const Scratch<T>& scratch)
      : call_(call),
        problem_(call.forward.problem),
        task_(task),
        panel_(panel),
        index_(index),
        state_(state),
        scratch_(scratch),
        has_nan_(std::any_of(state.sum, state.sum + panel.lanes(),
                             [](T sum) { return std::isnan(sum); })) {}

  void write(const KeptTile<T>& kept) const {
    if (has_nan_) write_nan_rows(kept);
    const int lanes = panel_.lanes();
    const std::ptrdiff_t count = kept.keys.size();
    alignas(64) T factors[Panel<T>::max_lanes] = {};
    set_factors(kept, factors);
    // padding lanes share a row
    std::fill_n(scratch_.seen, panel_.count < lanes ? count : 0, T{0});
    T* rows[Panel<T>::max_lanes] = {};
    for (int lane = 0; lane < lanes; ++lane) {
      rows[lane] = lane < panel_.count ? row_of(lane) + kept.keys.begin : scratch_.seen;
    }
    const bool adds = call_.average_heads && panel_.head[0] > 0;
    const auto write = adds ? add_panel_to_rows<T> : panel_to_rows<T>;
    write(kept.weights, lanes, count, factors, rows);
  }

 private:
  void set_factors(const KeptTile<T>& kept, T* factors) const {
    const T heads = call_.average_heads ? static_cast<T>(problem_.num_heads) : T{1};
    const T factor = call_.forward.dropout_factor / heads;
    out_factors(call_.forward.rule, state_.sum, factor, panel_.lanes(), factors);
    with_normalizer(call_.forward.rule, [&](const auto& normalizer) {
      for (int lane = 0; lane < panel_.lanes(); lane += simd::lanes<T>) {
        const auto base = normalizer.base(simd::load(state_.maximum + lane));
        const auto rescale = normalizer.rescale(simd::load(kept.maximum + lane), base);
        simd::store(factors + lane, simd::multiply(simd::load(factors + lane), rescale));
      }
    });
    for (int lane = 0; has_nan_ && lane < panel_.lanes(); ++lane) {
      if (std::isnan(state_.sum[lane])) factors[lane] = 1;
    }
  }

  T* row_of(int lane) const {
    const std::ptrdiff_t head = call_.average_heads ? 0 : panel_.head[lane];
    const std::ptrdiff_t row = problem_.items[task_.item].query_begin + panel_.query[lane];
    return reinterpret_cast<T*>(call_.probabilities.row(task_.item, head, row));
  }

  // Rows of which an attended score is NaN: NaN is the weight of every key, but 0 that of a hidden
  // or dropped one, as if it were not there.
  void write_nan_rows(const KeptTile<T>& kept) const {
    const TilePlan<T> plan =
        plan_tile(problem_, task_.item, panel_, kept.tile, call_.forward.rule, scratch_.mask[0]);
    typename Products::Tile tile(scratch_.products, task_, kept.tile);
    RowPrefetch nothing;
    T* const scores = scratch_.scores[0];
    tile.score(panel_, index_, plan.keys, scores, nullptr, nothing);
    finish_tile(problem_, task_.item, panel_, plan, call_.forward.rule,
                ScoreBuffers<T>{scores, scratch_.mask[0]});
    for (std::ptrdiff_t i = 0; i < plan.keys.size() * panel_.lanes(); ++i) {
      const T sum = state_.sum[i % panel_.lanes()];
      if (std::isnan(sum)) kept.weights[i] = scores[i] == minus_infinity<T> ? T{0} : sum;
    }
    if (problem_.dropout_p > 0) {  // the other rows are dropped already, and stay as they are
      apply_dropout(problem_, task_.item, panel_, plan.keys, T{1}, kept.weights);
    }
  }

  const Call<T>& call_;
  const Problem& problem_;
  const RowTask& task_;
  const Panel<T>& panel_;
  const int index_;
  const RunningSoftmax<T> state_;
  const Scratch<T>& scratch_;
  const bool has_nan_;
};

template <class T>
void run(const Call<T>& call, const RowTask& row_task, Worker& worker) {
  using Products = FloatProducts<T>;
  const Problem& problem = call.forward.problem;
  Scratch<T> scratch(call, worker.scratch);
  T* const own_scores = scratch.scores[0];
  PrefillTask<Products> task(call.forward, row_task, scratch);
  BlockRows blocks(problem, row_task.rows);
  for (std::ptrdiff_t p = 0; p < task.panels(); ++p) blocks.add(task.panel(p));
  const KeyTiles tiles(task.keys(), tile_keys(problem), blocks);
  SmallBuffer<KeptTile<T>, 32> kept(tiles.count() * task.panels());
  RowPrefetch nothing;
  T *weights = scratch.kept, *maximum = scratch.maxima;
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    typename Products::Tile tile(scratch.products, row_task, tiles[t]);
    for (std::ptrdiff_t p = 0; p < task.panels(); ++p) {
      const int lanes = task.panel(p).lanes();
      scratch.scores[0] = weights;
      const KeyRange keys = add_key_tile(call.forward, row_task.item, task, p, tiles[t],
                                         tiles.count() == 1, tile, scratch, nothing);
      std::copy_n(scratch.state(problem, p).maximum, lanes, maximum);
      kept[t * task.panels() + p] = {tiles[t], keys, weights, maximum};
      weights += keys.size() * lanes, maximum += lanes;
    }
  }
  task.write(KeySplit<T>());
  scratch.scores[0] = own_scores;
  for (std::ptrdiff_t p = 0; p < task.panels(); ++p) {
    const WeightRows<T> rows(call, row_task, task.panel(p), static_cast<int>(p),
                             scratch.state(problem, p), scratch);
    for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
      const KeptTile<T>& tile = kept[t * task.panels() + p];
      if (!tile.keys.empty()) rows.write(tile);
    }
  }
}

}  // namespace

template <class T>
bool takes_one_pass(const Problem& problem, const Item& item, const ItemPartition& partition,
                    bool average_heads) {
  if (partition.path == Path::decode || partition.key_splits > 1) return false;
  const std::ptrdiff_t bytes = max_rows<T> * item.keys * static_cast<std::ptrdiff_t>(sizeof(T));
  // a row block of grouped heads has rows of several heads, which are not averaged in order
  return bytes <= max_kept_bytes && !(average_heads && problem.group() > 1);
}

template <class T>
void one_pass(const ForwardCall<T>& given, const TensorView& probabilities, bool average_heads,
              const Team& team) {
  const Problem& problem = given.problem;
  const Team used = threads_for(cost_of(problem), team);
  const ForwardPartition<T> partition(problem, false, used.threads);
  ForwardCall<T> forward = given;
  forward.shared_keys = partition.shared_keys();
  Call<T> call{forward, probabilities, average_heads, 0};
  SmallBuffer<std::ptrdiff_t, 8> first_task(problem.num_items);  // of each item
  std::ptrdiff_t tasks = 0, row_blocks = 0;
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    first_task[i] = tasks;
    tasks += partition[i].tasks();
    row_blocks += partition[i].row_blocks;
    if (problem.items[i].queries > 0)
      call.max_keys = std::max(call.max_keys, problem.items[i].keys);
  }
  std::atomic<bool> overflowed{false};
  const auto run_task = [&](const RowTask& task, Worker& worker) {
    const simd::OverflowFlag flag;
    run(call, task, worker);
    if (flag.raised()) overflowed.store(true, std::memory_order_relaxed);
  };
  const auto start = [&](Worker& worker) {
    if (worker.first_task) Scratch<T>(call, worker.scratch).products.clear();
  };
  const std::size_t scratch_bytes = Scratch<T>(call, nullptr).area.size();
  if (!average_heads) {
    parallel_for(tasks, used, scratch_bytes, [&](std::ptrdiff_t index, Worker& worker) {
      start(worker);
      run_task(partition.task(index), worker);
    });
  } else {
    // A task has all heads in turn, each with some row blocks: many, because keys and values that
    // are not read in place are copied for each head, but enough tasks for the threads.
    const std::ptrdiff_t most =
        std::max<std::ptrdiff_t>(row_blocks / (used.threads > 1 ? 2 * used.threads : 1), 1);
    const RaggedRange groups(problem.num_items, 1, [&](std::ptrdiff_t i) {
      return partition[i].tasks() == 0 ? 0 : (partition[i].row_blocks + most - 1) / most;
    });
    parallel_for(groups.size(), used, scratch_bytes, [&](std::ptrdiff_t index, Worker& worker) {
      start(worker);
      const RaggedRange::Place place = groups[index];
      const EvenRanges blocks{partition[place.item].row_blocks, groups.count(place.item)};
      for (std::ptrdiff_t head = 0; head < problem.num_heads; ++head) {
        for (std::ptrdiff_t b = blocks.begin(place.index); b < blocks.begin(place.index + 1); ++b) {
          run_task(partition.task(first_task[place.item] + b).of_head(head), worker);
        }
      }
    });
  }
  if (overflowed) recompute_overflow(forward, used);
}

template bool takes_one_pass<float>(const Problem&, const Item&, const ItemPartition&, bool);
template bool takes_one_pass<double>(const Problem&, const Item&, const ItemPartition&, bool);
template void one_pass(const ForwardCall<float>&, const TensorView&, bool, const Team&);
template void one_pass(const ForwardCall<double>&, const TensorView&, bool, const Team&);

}  // namespace heedful
