#include "attention/forward/partition/partition.hpp"

#include <algorithm>

#include "arrays/even_ranges.hpp"
#include "attention/forward/partition/masked_row_blocks.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/problem/panel.hpp"
#include "kernels/dot_kernel.hpp"

namespace heedful {
namespace {

// Minimum keys of a split: with fewer, merging costs more than it saves.
constexpr std::ptrdiff_t min_split_keys = 512;

// With fewer tasks, row blocks become shorter, so that no thread idles during another's last task.
constexpr std::ptrdiff_t min_tasks = 16;
// Minimum multiply-adds of a task when row blocks are made shorter.
constexpr std::ptrdiff_t min_task_work = 500'000;

// Maximum rows of a decode task of several heads, so that their scores stay in L2.
constexpr std::ptrdiff_t max_decoded_rows = 64;

template <class T>
std::ptrdiff_t num_row_blocks(const Problem& problem, Path path, std::ptrdiff_t queries) {
  if (problem.block_mask && path == Path::prefill) {
    return problem.group() * MaskedRowBlocks<T>(problem, queries).count_of_head();
  }
  const std::ptrdiff_t rows = problem.group() * queries;
  return (padded<T>(rows) + max_block_rows<T>(problem) - 1) / max_block_rows<T>(problem);
}

std::ptrdiff_t num_key_splits(KeyRange keys, std::ptrdiff_t rows) {
  // so that the states stay small compared with the keys
  const std::ptrdiff_t min_keys = std::max(min_split_keys, 4 * rows);
  return std::clamp<std::ptrdiff_t>(keys.size() / min_keys, 1, max_key_splits);
}

// More row blocks, down to one panel each, if the keys are one tile: then a row's bits do not
// depend on its neighbours. (The bounds of several key tiles depend on the keys visible to all rows
// of a task.)
template <class T>
std::ptrdiff_t finer_row_blocks(const Problem& problem, const ItemPartition& partition,
                                std::ptrdiff_t rows) {
  const bool one_tile = partition.keys.size() <= KeyTiles::max_keys(tile_keys(problem));
  const bool splits_rows = partition.path == Path::prefill && !problem.block_mask &&
                           !traits_of(problem.score_kind).panel_is_task;
  if (!splits_rows || !one_tile) return partition.row_blocks;
  const std::ptrdiff_t panels = (padded<T>(rows) + Panel<T>::max_lanes - 1) / Panel<T>::max_lanes;
  const std::ptrdiff_t work = rows * partition.keys.size() * (problem.depth + problem.value_depth);
  return std::max(partition.row_blocks, std::min(panels, work / min_task_work));
}

// The fewest head blocks that leave enough tasks for the threads, if the call has `tasks` with one
// head each: half the heads, rows that are not adjacent, are read 10 % slower than all. Heads with
// a block mask have key tiles of their own.
std::ptrdiff_t num_head_blocks(const Problem& problem, const ItemPartition& partition,
                               std::ptrdiff_t rows, std::ptrdiff_t tasks, int threads) {
  if (partition.path != Path::decode || rows == 0 || problem.block_mask) {
    return problem.num_kv_heads;
  }
  const std::ptrdiff_t max_heads =
      std::max<std::ptrdiff_t>(max_decoded_rows / padded_dot_rows(rows), 1);
  const std::ptrdiff_t heads = std::clamp<std::ptrdiff_t>(tasks / (2 * threads), 1, max_heads);
  return (problem.num_kv_heads + heads - 1) / heads;
}

template <class T>
ItemPartition partition_item(const Problem& problem, const Item& item) {
  ItemPartition partition{choose_path<T>(problem, item), {0, 0}, problem.num_kv_heads, 0, 0};
  const std::ptrdiff_t rows = problem.group() * item.queries;
  if (rows == 0) return partition;
  partition.keys = {visible_keys(problem, item, 0).begin,
                    visible_keys(problem, item, item.queries - 1).end};
  partition.row_blocks = num_row_blocks<T>(problem, partition.path, item.queries);
  partition.key_splits = partition.row_blocks == 1 ? num_key_splits(partition.keys, rows) : 1;
  return partition;
}

// The keys of a split: whole blocks of a block mask.
KeyRange split_keys(const Problem& problem, const ItemPartition& partition, std::ptrdiff_t split) {
  const KeyRange keys = partition.keys;
  if (keys.empty()) return keys;
  const std::ptrdiff_t size = problem.block_mask ? problem.block_mask.block_keys : 1;
  const std::ptrdiff_t first = keys.begin / size;
  const EvenRanges blocks{(keys.end + size - 1) / size - first, partition.key_splits};
  const auto begin = [&](std::ptrdiff_t index) {
    return std::clamp((first + blocks.begin(index)) * size, keys.begin, keys.end);
  };
  return {begin(split), begin(split + 1)};
}

template <class T>
RowRange row_block(const Problem& problem, const ItemPartition& partition, std::ptrdiff_t item,
                   std::ptrdiff_t block) {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  const std::ptrdiff_t queries = problem.items[item].queries, rows = problem.group() * queries;
  if (problem.block_mask && partition.path == Path::prefill) {
    return MaskedRowBlocks<T>(problem, queries)[block];
  }
  const EvenRanges vectors{padded<T>(rows) / width, partition.row_blocks};
  return {vectors.begin(block) * width, std::min(vectors.begin(block + 1) * width, rows)};
}

template <class T>
ItemPartitions partition_items(const Problem& problem, bool heads_alternate, int threads) {
  ItemPartitions partitions(problem.num_items);
  std::ptrdiff_t tasks = 0;
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    partitions[i] = partition_item<T>(problem, problem.items[i]);
    tasks += partitions[i].tasks();
  }
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    const std::ptrdiff_t rows = problem.group() * problem.items[i].queries;
    if (tasks < min_tasks) {
      partitions[i].row_blocks = finer_row_blocks<T>(problem, partitions[i], rows);
    }
    if (heads_alternate) {
      partitions[i].head_blocks = num_head_blocks(problem, partitions[i], rows, tasks, threads);
    }
  }
  return partitions;
}

}  // namespace

template <class T>
ForwardPartition<T>::ForwardPartition(const Problem& problem, bool heads_alternate, int threads)
    : problem_(problem),
      items_(partition_items<T>(problem, heads_alternate, threads)),
      tasks_(problem.num_items, 1, [&](std::ptrdiff_t item) { return items_[item].tasks(); }) {}

template <class T>
std::ptrdiff_t ForwardPartition<T>::shared_keys() const {
  std::ptrdiff_t keys = 0;
  for (std::ptrdiff_t i = 0; i < problem_.num_items; ++i) {
    if (items_[i].row_blocks > 1) keys = std::max(keys, problem_.items[i].keys);
  }
  return keys;
}

template <class T>
std::ptrdiff_t ForwardPartition<T>::decoded_rows() const {
  std::ptrdiff_t rows = 0;
  for (std::ptrdiff_t i = 0; i < problem_.num_items; ++i) {
    if (items_[i].path != Path::decode || items_[i].tasks() == 0) continue;
    const std::ptrdiff_t blocks = items_[i].head_blocks;
    const std::ptrdiff_t heads = (problem_.num_kv_heads + blocks - 1) / blocks;
    rows = std::max(rows, heads * padded_dot_rows(problem_.group() * problem_.items[i].queries));
  }
  return rows;
}

template <class T>
RowTask ForwardPartition<T>::task(std::ptrdiff_t index) const {
  const RaggedRange::Place place = tasks_[index];
  const ItemPartition& partition = items_[place.item];
  // the same keys of all heads before the next: their rows may alternate in memory. But all row
  // blocks of a head before the next: they share its keys.
  const std::ptrdiff_t of_heads = partition.row_blocks * partition.key_splits;
  const bool by_heads = partition.row_blocks > 1;
  const std::ptrdiff_t head_block =
      by_heads ? place.index / of_heads : place.index % partition.head_blocks;
  const std::ptrdiff_t own =
      by_heads ? place.index % of_heads : place.index / partition.head_blocks;
  const EvenRanges heads{problem_.num_kv_heads, partition.head_blocks};
  // the last rows first: with causal attention they see the most keys
  const std::ptrdiff_t block = partition.row_blocks - 1 - own / partition.key_splits;
  const std::ptrdiff_t split = own % partition.key_splits;
  const RowRange rows = row_block<T>(problem_, partition, place.item, block);
  return {place.item,
          heads.begin(head_block),
          rows.begin,
          rows.end - rows.begin,
          split_keys(problem_, partition, split),
          split,
          partition.path == Path::prefill ? panel_rows<T>(problem_) : 0,
          heads.length(head_block)};
}

template class ForwardPartition<float>;
template class ForwardPartition<double>;

}  // namespace heedful
