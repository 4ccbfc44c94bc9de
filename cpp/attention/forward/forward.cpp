#include "attention/forward/forward.hpp"

#include <algorithm>
#include <atomic>

#include "attention/forward/decode.hpp"
#include "attention/forward/next_task.hpp"
#include "attention/forward/overflow.hpp"
#include "attention/forward/prefill.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/online_softmax.hpp"
#include "parallel/scratch.hpp"
#include "simd/overflow_flag.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t max_parts = 8;
// fewest keys of a part: below, merging costs more than it brings
constexpr std::ptrdiff_t part_keys = 512;

// with fewer tasks, tiles of rows become shorter, so that no thread waits for another's last
constexpr std::ptrdiff_t few_tasks = 16;
// fewest multiply-adds of a task that is cut off
constexpr std::ptrdiff_t least_work = 500'000;

// How the work of one item is cut: every key/value head has `tiles` tiles of rows, and if that is
// only one, `parts` parts of the keys, whose states are merged by the task that ends last.
struct Cut {
  std::ptrdiff_t first_task, tiles, parts;
  KeyRange keys;              // that some row sees
  std::ptrdiff_t first_part;  // where the states of the parts begin, in rows
  std::ptrdiff_t first_merge;
};

template <class T>
Cut cut_item(const Problem& problem, const Item& item) {
  Cut cut{};
  const std::ptrdiff_t rows = problem.group() * item.queries;
  if (rows == 0) return cut;
  // what a panel costs in additive attention is worth a task, and its rows know of their neighbours
  const std::ptrdiff_t most =
      traits_of(problem.score_kind).panel_is_task ? Panel<T>::max_lanes : prefill_rows<T>;
  cut.tiles = (padded<T>(rows) + most - 1) / most;
  cut.keys = {visible_keys(problem, item, 0).begin,
              visible_keys(problem, item, item.queries - 1).end};
  cut.parts = 1;
  if (cut.tiles == 1) {
    // so the states stay small beside the keys
    const std::ptrdiff_t least = std::max(part_keys, 4 * rows);
    cut.parts = std::clamp<std::ptrdiff_t>(cut.keys.size() / least, 1, max_parts);
  }
  return cut;
}

// More tiles, down to a panel each, where the keys are one tile: there rows do not know of their
// neighbours and keep their bits, whatever else the call computes. (Several tiles of keys are cut
// by what all rows of a task see.)
template <class T>
void cut_finer(const Problem& problem, Cut& cut, std::ptrdiff_t rows) {
  const bool one_tile = cut.keys.size() <= KeyTiles::most(tile_keys(problem));
  if (cut.tiles == 0 || !one_tile || traits_of(problem.score_kind).panel_is_task ||
      rows <= decode_rows<T>)
    return;
  const std::ptrdiff_t panels = (padded<T>(rows) + Panel<T>::max_lanes - 1) / Panel<T>::max_lanes;
  const std::ptrdiff_t work = rows * cut.keys.size() * (problem.depth + problem.value_depth);
  cut.tiles = std::max(cut.tiles, std::min(panels, work / least_work));
}

template <class T>
RowTask row_task(const Problem& problem, const Cut& cut, std::ptrdiff_t item,
                 std::ptrdiff_t index) {
  const std::ptrdiff_t rows = problem.group() * problem.items[item].queries;
  std::ptrdiff_t rest = index - cut.first_task;
  const std::ptrdiff_t part = rest % cut.parts;
  rest /= cut.parts;
  // the last rows first: with causal attention they see most keys
  const std::ptrdiff_t tile = cut.tiles - 1 - rest % cut.tiles;
  const std::ptrdiff_t vectors = padded<T>(rows) / simd::lanes<T>;
  const std::ptrdiff_t begin = vectors * tile / cut.tiles * simd::lanes<T>;
  const std::ptrdiff_t end = std::min(vectors * (tile + 1) / cut.tiles * simd::lanes<T>, rows);
  const KeyRange keys{cut.keys.begin + cut.keys.size() * part / cut.parts,
                      cut.keys.begin + cut.keys.size() * (part + 1) / cut.parts};
  return {item, rest / cut.tiles, begin, end - begin, keys, part == 0};
}

// The states of all rows whose keys are in parts.
template <class T>
struct Parts {
  Buffer<T> outs, maxima, sums;
  Buffer<std::atomic<std::ptrdiff_t>> ended;

  Parts(std::ptrdiff_t rows, std::ptrdiff_t merges, std::ptrdiff_t value_depth)
      : outs(rows * value_depth), maxima(rows), sums(rows), ended(merges, zeroed) {}

  Part<T> at(std::ptrdiff_t row, std::ptrdiff_t value_depth) {
    return {outs.data() + row * value_depth, maxima.data() + row, sums.data() + row};
  }
};

template <class T>
void merge(const ForwardCall<T>& call, const RowTask& task, const Part<T>* parts,
           std::ptrdiff_t count, T* out) {
  const Problem& problem = call.problem;
  const T* maxima[max_parts];
  const T* sums[max_parts];
  for (std::ptrdiff_t p = 0; p < count; ++p) maxima[p] = parts[p].maximum, sums[p] = parts[p].sum;
  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    T factors[max_parts], maximum, sum;
    with_normalizer(call.rule, [&](const auto& normalizer) {
      merge_rows(normalizer, maxima, sums, count, r, factors, maximum, sum);
    });
    const T factor = out_factor(sum, call.dropout_factor);
    std::fill_n(out, problem.value_depth, T{0});
    for (std::ptrdiff_t p = 0; p < count; ++p) {
      if (factors[p] == 0) continue;
      const T* const from = parts[p].out + r * problem.value_depth;
      for (std::ptrdiff_t d = 0; d < problem.value_depth; ++d) {
        out[d] += factors[p] * factor * from[d];
      }
    }
    watch_overflow(call, {out, problem.value_depth}, 1, problem.value_depth);
    const Row row = row_of(problem, task, r);
    char* const to =
        call.out.row(task.item, row.head, problem.items[task.item].query_begin + row.query);
    write_row(out, to, call.out.type, call.out.column_stride, problem.value_depth);
    write_lse(call, task.item, row, log_sum_exp(maximum, sum, call.rule.natural));
  }
}

}  // namespace

template <class T>
void attention_forward(const Problem& problem, const TensorView& query, const TensorView& key,
                       const TensorView& value, const TensorView& out, const TensorView& lse,
                       const Team& team) {
  std::atomic<bool> overflowed{false};
  const ForwardCall<T> call{problem,
                            query,
                            key,
                            value,
                            out,
                            lse,
                            score_rule<T>(problem),
                            static_cast<T>(dropout_factor(problem)),
                            &overflowed};
  Buffer<Cut> cuts(problem.num_items);
  std::ptrdiff_t tasks = 0, part_rows = 0, merges = 0;
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    Cut& cut = cuts[i] = cut_item<T>(problem, problem.items[i]);
    cut.first_task = tasks;
    cut.first_part = part_rows;
    cut.first_merge = merges;
    tasks += problem.num_kv_heads * cut.tiles * cut.parts;
    if (cut.parts <= 1) continue;
    part_rows += problem.num_kv_heads * cut.parts * problem.group() * problem.items[i].queries;
    merges += problem.num_kv_heads;
  }
  if (tasks < few_tasks) {
    tasks = 0;
    for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
      cut_finer<T>(problem, cuts[i], problem.group() * problem.items[i].queries);
      cuts[i].first_task = tasks;
      tasks += problem.num_kv_heads * cuts[i].tiles * cuts[i].parts;
    }
  }
  Parts<T> states(part_rows, merges, problem.value_depth);

  const auto cut_of = [&](std::ptrdiff_t index) {
    return std::upper_bound(cuts.begin(), cuts.end(), index,
                            [](std::ptrdiff_t i, const Cut& c) { return i < c.first_task; }) -
           1;
  };
  const auto task_of = [&](std::ptrdiff_t index) {
    const Cut* const cut = cut_of(index);
    return row_task<T>(problem, *cut, cut - cuts.begin(), index);
  };
  const Team used = team_for(problem, team);
  const auto run = [&](std::ptrdiff_t index, Worker& worker) {
    const Cut& cut = *cut_of(index);
    const RowTask task = row_task<T>(problem, cut, &cut - cuts.begin(), index);
    const std::ptrdiff_t part = (index - cut.first_task) % cut.parts;
    Part<T> parts[max_parts];
    if (cut.parts > 1) {
      for (std::ptrdiff_t p = 0; p < cut.parts; ++p) {
        parts[p] = states.at(cut.first_part + (task.kv_head * cut.parts + p) * task.rows,
                             problem.value_depth);
      }
    }
    const simd::OverflowFlag flag;
    if (problem.group() * problem.items[task.item].queries <= decode_rows<T> &&
        traits_of(problem.score_kind).in_rows) {
      decode(call, task, parts[part], worker);
    } else {
      // the other threads take the tasks between
      const std::ptrdiff_t next = index + used.threads;
      const FetchAhead ahead = next < tasks ? FetchAhead(call, task, task_of(next)) : FetchAhead();
      prefill(call, task, parts[part], ahead, worker);
    }
    if (flag.raised()) overflowed.store(true, std::memory_order_relaxed);
    if (cut.parts > 1 &&
        states.ended[cut.first_merge + task.kv_head].fetch_add(1) + 1 == cut.parts) {
      merge(call, task, parts, cut.parts, reinterpret_cast<T*>(worker.scratch));
    }
  };
  parallel_for(tasks, used, std::max(prefill_scratch(call), decode_scratch(call)), run);
  if (overflowed) recompute_overflow(call, used);
}

template void attention_forward<float>(const Problem&, const TensorView&, const TensorView&,
                                       const TensorView&, const TensorView&, const TensorView&,
                                       const Team&);
template void attention_forward<double>(const Problem&, const TensorView&, const TensorView&,
                                        const TensorView&, const TensorView&, const TensorView&,
                                        const Team&);

}  // namespace heedful
