#include "attention/forward/prefill/prefill.hpp"

#include "attention/forward/panels/products.hpp"
#include "attention/forward/prefill/overlapped_tiles.hpp"
#include "attention/forward/prefill/task.hpp"
#include "attention/forward/prefill/tile_step.hpp"
#include "attention/problem/key_tiles.hpp"

namespace heedful {
namespace {

template <class Products, class T>
void run(const ForwardCall<T>& call, const RowTask& row_task, const KeySplit<T>& split,
         RowPrefetch& next, Worker& worker) {
  const PrefillScratch<Products> scratch(call, worker.scratch);
  PrefillTask<Products> task(call, row_task, scratch);
  BlockRows blocks(call.problem, row_task.rows);
  for (std::ptrdiff_t p = 0; p < task.panels(); ++p) blocks.add(task.panel(p));
  const KeyTiles tiles(task.keys(), tile_keys(call.problem), blocks);
  if constexpr (Products::blocks > 1) {
    with_normalizer(call.rule, [&](const auto& normalizer) {
      OverlappedTiles(call, row_task, task, normalizer, scratch, next).run(tiles, worker);
    });
  } else {
    const bool all_keys = tiles.count() == 1 && !split.sum;
    for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
      worker.check();
      typename Products::Tile tile(scratch.products, row_task, tiles[t]);
      for (std::ptrdiff_t p = 0; p < task.panels(); ++p) {
        add_key_tile(call, row_task.item, task, p, tiles[t], all_keys, tile, scratch, next);
      }
    }
  }
  task.write(split);
}

}  // namespace

template <class T>
std::size_t prefill_scratch(const ForwardCall<T>& call) {
  return with_products(call, [&](auto* products) {
    return PrefillScratch<std::remove_pointer_t<decltype(products)>>(call, nullptr).area.size();
  });
}

template <class T>
void start_prefill(const ForwardCall<T>& call, Worker& worker) {
  with_products(call, [&](auto* products) {
    PrefillScratch<std::remove_pointer_t<decltype(products)>>(call, worker.scratch)
        .products.clear();
  });
}

template <class T>
void prefill(const ForwardCall<T>& call, const RowTask& task, const KeySplit<T>& split,
             RowPrefetch& next, Worker& worker) {
  with_products(call, [&](auto* products) {
    run<std::remove_pointer_t<decltype(products)>>(call, task, split, next, worker);
  });
}

template std::size_t prefill_scratch(const ForwardCall<float>&);
template std::size_t prefill_scratch(const ForwardCall<double>&);
template void start_prefill(const ForwardCall<float>&, Worker&);
template void start_prefill(const ForwardCall<double>&, Worker&);
template void prefill(const ForwardCall<float>&, const RowTask&, const KeySplit<float>&,
                      RowPrefetch&, Worker&);
template void prefill(const ForwardCall<double>&, const RowTask&, const KeySplit<double>&,
                      RowPrefetch&, Worker&);

}  // namespace heedful
