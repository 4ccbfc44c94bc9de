#include "attention/forward/top_k/selection.hpp"

#include <algorithm>
#include <new>
#include <type_traits>

#include "arrays/even_ranges.hpp"
#include "arrays/prefetch.hpp"
#include "arrays/work_area.hpp"
#include "attention/forward/panels/products.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/score_tile.hpp"

namespace heedful {
namespace {

template <class Products>
struct Scratch {
  using T = typename Products::Scalar;
  static constexpr std::ptrdiff_t lanes = Panel<T>::max_lanes;

  WorkArea area;
  Products products;
  T* query_rows;  // (lanes, D)
  T* scores;      // (tile, lanes)
  T* mask;

  Scratch(const ForwardCall<T>& call, std::byte* memory)
      : area(memory), products(call, max_selection_panels<T>(call.problem.top_k), area) {
    const std::ptrdiff_t tile = KeyTiles::max_keys(tile_keys(call.problem));
    query_rows = area.take<T>(lanes * call.problem.depth);
    scores = area.take<T>(tile * lanes);
    mask = area.take<T>(mask_tile_size<T>(tile));
  }
};

// Calls visit(scratch) with the scratch of the products of the call.
template <class T, class Visit>
auto with_scratch(const ForwardCall<T>& call, std::byte* memory, const Visit& visit) {
  return with_products(call, [&](auto* products) {
    return visit(Scratch<std::remove_pointer_t<decltype(products)>>(call, memory));
  });
}

template <class Products, class T>
void run(const ForwardCall<T>& call, const RowTask& task, PanelKeys<T>* panels,
         std::ptrdiff_t count, SplitOfKeys split, const Scratch<Products>& scratch,
         Worker& worker) {
  const Problem& problem = call.problem;
  KeyRange keys{0, 0};  // visible to some panel
  BlockRows blocks(problem, count * Panel<T>::max_lanes);
  for (std::ptrdiff_t p = 0; p < count; ++p) {
    const Panel<T>& panel = panels[p].panel;
    scratch.products.load_queries(task.item, panel, static_cast<int>(p), scratch.query_rows);
    panels[p].candidates.start(panel);
    blocks.add(panel);
    if (panel.any.empty()) continue;
    keys = keys.empty()
               ? panel.any
               : KeyRange{std::min(keys.begin, panel.any.begin), std::max(keys.end, panel.any.end)};
  }
  const EvenRanges splits{keys.size(), split.count};
  keys = {keys.begin + splits.begin(split.index), keys.begin + splits.begin(split.index + 1)};
  RowPrefetch nothing;
  const KeyTiles tiles(keys, tile_keys(problem), blocks);
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    typename Products::Tile tile(scratch.products, task, tiles[t]);
    for (std::ptrdiff_t p = 0; p < count; ++p) {
      const Panel<T>& panel = panels[p].panel;
      const TilePlan<T> plan =
          plan_tile(problem, task.item, panel, tiles[t], call.rule, scratch.mask);
      if (plan.keys.empty()) continue;
      tile.score(panel, static_cast<int>(p), plan.keys, scratch.scores, nullptr, nothing);
      finish_tile(problem, task.item, panel, plan, call.rule,
                  ScoreBuffers<T>{scratch.scores, scratch.mask});
      panels[p].candidates.add(scratch.scores, plan.keys);
    }
  }
  for (std::ptrdiff_t p = 0; p < count; ++p) panels[p].candidates.finish();
}

}  // namespace

template <class T>
std::ptrdiff_t max_selection_panels(std::ptrdiff_t top_k) {
  constexpr std::ptrdiff_t bytes = std::ptrdiff_t{512} << 10;
  return std::clamp<std::ptrdiff_t>(bytes / Candidates<T>::bytes(top_k), 1, 4);
}

template <class T>
Selection<T>::Selection(const ForwardCall<T>& call, std::byte* memory) {
  const std::ptrdiff_t panels = max_selection_panels<T>(call.problem.top_k);
  WorkArea area(memory);
  panels_ = area.take<PanelKeys<T>>(panels);
  for (std::ptrdiff_t p = 0; p < panels; ++p) {
    const Candidates<T> candidates(call.problem.top_k, area);
    if (memory) new (panels_ + p) PanelKeys<T>{{}, candidates};
  }
  const std::size_t before = area.size();
  products_ = memory ? memory + before : nullptr;
  size_ =
      before + with_scratch(call, nullptr, [](const auto& scratch) { return scratch.area.size(); });
}

template <class T>
void Selection<T>::start(const ForwardCall<T>& call) const {
  with_scratch(call, products_, [](const auto& scratch) { scratch.products.clear(); });
}

template <class T>
void Selection<T>::select_keys(const ForwardCall<T>& call, std::ptrdiff_t item,
                               std::ptrdiff_t kv_head, std::ptrdiff_t rows, std::ptrdiff_t panels,
                               Worker& worker, SplitOfKeys split) const {
  const RowTask task{item, kv_head, 0, rows, {0, call.problem.items[item].keys}, 0};
  with_scratch(call, products_, [&](const auto& scratch) {
    run(call, task, panels_, panels, split, scratch, worker);
  });
}

template std::ptrdiff_t max_selection_panels<float>(std::ptrdiff_t);
template std::ptrdiff_t max_selection_panels<double>(std::ptrdiff_t);
template class Selection<float>;
template class Selection<double>;

}  // namespace heedful
