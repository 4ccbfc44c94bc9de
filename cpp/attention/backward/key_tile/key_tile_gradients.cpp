// The recurrence (Dao et al., "FlashAttention", 2022, appendix B.4), and the buffer of each of its
// matrices. A task has one key tile j and loops over the query panels i; S, P and their gradients
// are [key][lane], the transpose of the paper's:
//
//   Kⱼ, Vⱼ   dKⱼ = dVⱼ = 0            KeyTile::key_rows, value_rows, dkey, dvalue
//   for each head of the group, for each panel i:
//     Qᵢ, dOᵢ   Lᵢ, Dᵢ                PanelRows, query_panel, dout_panel   base and factor, delta
//     Sᵢⱼ = scale · Qᵢ Kⱼᵀ, masked    scores
//     dPᵢⱼ = dOᵢ Vⱼᵀ                  dprobabilities
//     Pᵢⱼ = exp(Sᵢⱼ − Lᵢ)             probabilities
//     dSᵢⱼ = Pᵢⱼ ∘ (dPᵢⱼ − Dᵢ)        dscores; dproducts before a softcap
//     dVⱼ += Pᵢⱼᵀ dOᵢ                 KeyTile::dvalue
//     dKⱼ += dSᵢⱼᵀ Qᵢ                 KeyTile::dkey
//     dQᵢ += dSᵢⱼ Kⱼ                  dquery, then rows of the result: in the order of key tiles
//   add scale · dKⱼ and dVⱼ           to rows of the result: in the order of chunks
#include "attention/backward/key_tile/key_tile_gradients.hpp"

#include <algorithm>
#include <type_traits>

#include "arrays/finite_cast.hpp"
#include "arrays/panel_transposes.hpp"
#include "arrays/prefetch.hpp"
#include "attention/backward/bias_gradient.hpp"
#include "attention/backward/delta.hpp"
#include "attention/backward/key_tile/bfloat16/tile_gradients.hpp"
#include "attention/backward/key_tile/float_gradients.hpp"
#include "attention/backward/key_tile/prefetched_rows.hpp"
#include "attention/backward/partition/in_order.hpp"

namespace heedful {
namespace {

// A panel of a task.
struct PanelPlace {
  std::ptrdiff_t head, index, after;  // `after`: the index of the next panel
  std::ptrdiff_t order;               // how many panels of the task come before it
  std::ptrdiff_t tiles_before;        // how many key tiles before the task's add to its dquery
};

// Sets up panel i, with its Dᵢ if no other task needs it.
template <class T, class Scratch>
void start_panel(const BackwardCall<T>& call, const BackwardTask& task, const PanelPlace& place,
                 const Scratch& scratch) {
  const Problem& problem = call.problem;
  const BackwardTensors& tensors = call.tensors;
  const Item& item = problem.items[task.item];
  const std::ptrdiff_t head = place.head;
  const KeyRange queries = call.partition.queries(task.item, place.index);
  const std::ptrdiff_t count = queries.size();
  Panel<T>& panel = *scratch.panel;
  for (int lane = 0; lane < count; ++lane) {
    set_lane(panel, lane, problem, item, head, queries.begin + lane);
  }
  finish_panel(panel, problem, item, static_cast<int>(count));

  const std::ptrdiff_t row = item.query_begin + queries.begin;
  if (call.partition.has_one_key_tile(task.item)) {
    write_delta(tensors, problem.value_depth, task.item, head, row, count, scratch.delta_rows);
  }
}

// What is used at the end of the panel, at the start of the next one, and by the next task.
template <class T>
RowPrefetch rows_during(const BackwardCall<T>& call, const BackwardTask& task,
                        const PanelPlace& place, const NextTask<T>& next) {
  const TensorView& dquery = call.tensors.dquery;
  const KeyRange queries = call.partition.queries(task.item, place.index);
  RowPrefetch prefetch(next ? 2 : 1);
  if (place.tiles_before > 0 || dquery.heads_alternate()) {
    prefetch.add(dquery, task.item, place.head,
                 call.problem.items[task.item].query_begin + queries.begin, queries.size(),
                 call.problem.depth);
  }
  add_panel_rows(call, task.item, place.head, call.partition.queries(task.item, place.after),
                 prefetch);
  if (next) next.add_rows(place.order, prefetch);
  return prefetch;
}

// Adds the panel's dquery to rows of the result, which are still zeros for the `first` key tile.
template <class T, class Scratch>
void add_dquery(const BackwardCall<T>& call, const BackwardTask& task, bool first,
                const Scratch& scratch) {
  const Problem& problem = call.problem;
  const Panel<T>& panel = *scratch.panel;
  alignas(64) T factors[Panel<T>::max_lanes];
  T* rows[Panel<T>::max_lanes];
  T* to[Panel<T>::max_lanes];
  for (int lane = 0; lane < panel.lanes(); ++lane) {
    const std::ptrdiff_t row = problem.items[task.item].query_begin + panel.query[lane];
    factors[lane] = finite_cast<T>(problem.product_slope());
    rows[lane] = reinterpret_cast<T*>(call.tensors.dquery.row(task.item, panel.head[lane], row));
    to[lane] =
        first && lane < panel.count ? rows[lane] : scratch.dquery_rows + lane * problem.depth;
  }
  panel_to_rows(scratch.dquery, panel.lanes(), problem.depth, factors, to);
  if (first) return;
  for (int lane = 0; lane < panel.count; ++lane) {
    for (std::ptrdiff_t d = 0; d < problem.depth; ++d) rows[lane][d] += to[lane][d];
  }
}

// Adds the panel to results that other tasks add to as well. If no key is visible it only passes
// its tickets on.
template <class T, class Scratch>
void add_in_order(const BackwardCall<T>& call, const BackwardTask& task, const PanelPlace& place,
                  KeyRange keys, const Scratch& scratch, Worker& worker) {
  const auto add_dbias = [&] {
    add_bias_gradient(call.tensors.dbias, task.item, *scratch.panel, keys, scratch.dscores);
  };
  {
    const InOrder in_order(worker,
                           call.tickets.dquery(task, place.head, place.index, place.tiles_before));
    if (!keys.empty()) add_dquery(call, task, place.tiles_before == 0, scratch);
    if (call.bias_adds == BiasAdds::with_dquery) add_dbias();
  }
  if (call.bias_adds == BiasAdds::shared) {
    const InOrder in_order(worker, call.tickets.shared_dbias(task, place.head, place.index));
    add_dbias();
  }
}

// Passes the tickets of panels [begin, end) of a shared dbias, which add nothing: only longer items
// have them, or they do not see the key tile.
template <class T>
void skip_panels(const BackwardCall<T>& call, const BackwardTask& task, std::ptrdiff_t head,
                 std::ptrdiff_t begin, std::ptrdiff_t end, Worker& worker) {
  if (call.bias_adds != BiasAdds::shared) return;
  for (std::ptrdiff_t panel = begin; panel < end; ++panel) {
    const InOrder in_order(worker, call.tickets.shared_dbias(task, head, panel));
  }
}

template <class Gradients, class T>
void run(const BackwardCall<T>& call, const BackwardTask& task, const BackwardTask* next_task,
         Worker& worker) {
  const typename Gradients::Scratch scratch(call, worker.scratch);
  const std::ptrdiff_t begin = call.partition.first_panel(task.item, task.chunk);
  const std::ptrdiff_t end = call.partition.first_panel(task.item, task.chunk + 1);
  const std::ptrdiff_t group = call.problem.group(), first_head = task.kv_head * group;
  const NextTask<T> next(call, next_task, (end - begin) * group);
  Gradients tile(call, task, scratch);

  for (std::ptrdiff_t head = first_head; head < first_head + group; ++head) {
    if (scratch.bias_sums) std::fill_n(scratch.bias_sums, tile.keys().size(), 0.0);
    const auto seen_from = [&](std::ptrdiff_t panel) {
      while (panel < end && !call.partition.sees(task.item, head, panel, task.key_tile)) ++panel;
      return panel;
    };
    std::ptrdiff_t panel = seen_from(begin);
    skip_panels(call, task, head, begin, panel, worker);
    while (panel < end) {
      worker.check();
      const std::ptrdiff_t after = seen_from(panel + 1);
      const PanelPlace place{head, panel, after,
                             (head - first_head) * (end - begin) + panel - begin,
                             call.partition.tiles_before(task.item, head, panel, task.key_tile)};
      start_panel(call, task, place, scratch);
      RowPrefetch prefetch = rows_during(call, task, place, next);
      const KeyRange visible = tile.add_panel(prefetch);
      add_in_order(call, task, place, visible, scratch, worker);
      skip_panels(call, task, head, panel + 1, after, worker);
      panel = after;
    }
    if (scratch.bias_sums) {
      write_bias_gradient<T>(call.tensors.dbias, task.item, head, tile.keys(), scratch.bias_sums);
    }
    skip_panels(call, task, head, call.partition.panels(task.item), call.partition.max_panels(),
                worker);
  }

  const InOrder in_order(worker, call.tickets.dkey_and_dvalue(task));
  tile.add_to_outputs();
}

// Calls visit(gradients) with a null pointer to the class that computes those of the call.
template <class T, class Visit>
auto with_gradients(const BackwardCall<T>& call, const Visit& visit) {
  if constexpr (sizeof(T) == sizeof(float)) {
#ifdef HEEDFUL_TILES
    if (call.way == simd::Bfloat16Way::tiles) {
      return visit(static_cast<TileGradients<simd::TileRegisters>*>(nullptr));
    }
#endif
    if (call.way == simd::Bfloat16Way::tiles_model) {
      return visit(static_cast<TileGradients<simd::TileModel>*>(nullptr));
    }
  }
  return visit(static_cast<FloatGradients<T>*>(nullptr));
}

}  // namespace

template <class T>
std::size_t backward_scratch(const BackwardCall<T>& call) {
  return with_gradients(call, [&](auto* gradients) {
    return typename std::remove_pointer_t<decltype(gradients)>::Scratch(call, nullptr).size;
  });
}

template <class T>
void backward(const BackwardCall<T>& call, const BackwardTask& task, const BackwardTask* next,
              Worker& worker) {
  with_gradients(call, [&](auto* gradients) {
    run<std::remove_pointer_t<decltype(gradients)>>(call, task, next, worker);
  });
}

template std::size_t backward_scratch(const BackwardCall<float>&);
template std::size_t backward_scratch(const BackwardCall<double>&);
template void backward(const BackwardCall<float>&, const BackwardTask&, const BackwardTask*,
                       Worker&);
template void backward(const BackwardCall<double>&, const BackwardTask&, const BackwardTask*,
                       Worker&);

}  // namespace heedful
