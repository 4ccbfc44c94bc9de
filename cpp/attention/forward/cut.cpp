#include "attention/forward/cut.hpp"

#include <algorithm>

#include "arrays/even_ranges.hpp"
#include "attention/forward/prefill.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/problem/panel.hpp"

namespace heedful {
namespace {

// Fewest keys of a split: below, merging costs more than it brings.
constexpr std::ptrdiff_t split_keys = 512;

// With fewer tasks, blocks of rows become shorter, so that no thread waits for another's last.
constexpr std::ptrdiff_t few_tasks = 16;
// Fewest multiply-adds of a task that is cut off.
constexpr std::ptrdiff_t least_work = 500'000;

template <class T>
std::ptrdiff_t cut_rows(const Problem& problem, std::ptrdiff_t rows) {
  const std::ptrdiff_t most =
      traits_of(problem.score_kind).panel_is_task ? Panel<T>::max_lanes : prefill_rows<T>;
  return (padded<T>(rows) + most - 1) / most;
}

std::ptrdiff_t cut_keys(KeyRange keys, std::ptrdiff_t rows) {
  // so the states stay small beside the keys
  const std::ptrdiff_t least = std::max(split_keys, 4 * rows);
  return std::clamp<std::ptrdiff_t>(keys.size() / least, 1, max_key_splits);
}

// More blocks, down to a panel each, where the keys are one tile: there rows do not know of their
// neighbours and keep their bits. (Several tiles of keys are cut by what all rows of a task see.)
template <class T>
std::ptrdiff_t cut_finer(const Problem& problem, const ItemCut& cut, std::ptrdiff_t rows) {
  const bool one_tile = cut.keys.size() <= KeyTiles::most(tile_keys(problem));
  const bool cuts = cut.path == Path::prefill && !traits_of(problem.score_kind).panel_is_task;
  if (!cuts || !one_tile) return cut.row_blocks;
  const std::ptrdiff_t panels = (padded<T>(rows) + Panel<T>::max_lanes - 1) / Panel<T>::max_lanes;
  const std::ptrdiff_t work = rows * cut.keys.size() * (problem.depth + problem.value_depth);
  return std::max(cut.row_blocks, std::min(panels, work / least_work));
}

template <class T>
ItemCut cut_item(const Problem& problem, const Item& item) {
  ItemCut cut{choose_path<T>(problem, item), {0, 0}, 0, 0};
  const std::ptrdiff_t rows = problem.group() * item.queries;
  if (rows == 0) return cut;
  cut.keys = {visible_keys(problem, item, 0).begin,
              visible_keys(problem, item, item.queries - 1).end};
  cut.row_blocks = cut_rows<T>(problem, rows);
  cut.key_splits = cut.row_blocks == 1 ? cut_keys(cut.keys, rows) : 1;
  return cut;
}

template <class T>
ItemCuts cut_items(const Problem& problem) {
  ItemCuts cuts(problem.num_items);
  std::ptrdiff_t tasks = 0;
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    cuts[i] = cut_item<T>(problem, problem.items[i]);
    tasks += problem.num_kv_heads * cuts[i].tasks();
  }
  if (tasks >= few_tasks) return cuts;
  for (std::ptrdiff_t i = 0; i < problem.num_items; ++i) {
    cuts[i].row_blocks = cut_finer<T>(problem, cuts[i], problem.group() * problem.items[i].queries);
  }
  return cuts;
}

}  // namespace

template <class T>
ForwardCut<T>::ForwardCut(const Problem& problem)
    : problem_(problem),
      items_(cut_items<T>(problem)),
      tasks_(problem.num_items, problem.num_kv_heads,
             [&](std::ptrdiff_t item) { return items_[item].tasks(); }) {}

template <class T>
RowTask ForwardCut<T>::task(std::ptrdiff_t index) const {
  constexpr std::ptrdiff_t width = simd::lanes<T>;
  const RaggedRange::Place place = tasks_[index];
  const ItemCut& cut = items_[place.item];
  const std::ptrdiff_t rows = problem_.group() * problem_.items[place.item].queries;
  // the last rows first: with causal attention they see most keys
  const std::ptrdiff_t block = cut.row_blocks - 1 - place.index / cut.key_splits;
  const std::ptrdiff_t split = place.index % cut.key_splits;
  const EvenRanges vectors{padded<T>(rows) / width, cut.row_blocks};
  const EvenRanges keys{cut.keys.size(), cut.key_splits};
  const std::ptrdiff_t begin = vectors.begin(block) * width;
  const std::ptrdiff_t end = std::min(vectors.begin(block + 1) * width, rows);
  return {place.item,
          place.head,
          begin,
          end - begin,
          {cut.keys.begin + keys.begin(split), cut.keys.begin + keys.begin(split + 1)},
          split};
}

template class ForwardCut<float>;
template class ForwardCut<double>;

}  // namespace heedful
