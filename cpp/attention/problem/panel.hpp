// A query panel: up to three vectors of query rows, one row per lane, and the keys visible to each.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "attention/problem/problem.hpp"
#include "kernels/micro_kernel.hpp"
#include "simd/packet.hpp"

namespace heedful {

template <class T>
struct Panel {
  static constexpr int max_lanes = max_vectors * simd::lanes<T>;

  int vectors = 0;  // 1 to max_vectors
  // lanes with a row; padding lanes repeat the last one and are never stored
  int count = 0;
  std::ptrdiff_t head[max_lanes];
  std::ptrdiff_t query[max_lanes];        // relative to the item
  KeyRange visible[max_lanes];            // the keys within causal, window and length
  const std::int32_t* blocks[max_lanes];  // with a block mask: its row
  KeyRange any{0, 0};                     // keys visible to any lane (and those between)
  KeyRange all{0, 0};                     // keys visible to every lane
  bool one_head = true;

  int lanes() const { return vectors * simd::lanes<T>; }
};

// Fills lane `lane` with a row. Call finish_panel() after the last.
template <class T>
void set_lane(Panel<T>& panel, int lane, const Problem& problem, const Item& item,
              std::ptrdiff_t head, std::ptrdiff_t query) {
  panel.head[lane] = head;
  panel.query[lane] = query;
  panel.visible[lane] = visible_keys(problem, item, query);
}

// The keys visible to any and to all of `count` lanes.
template <class T>
void combine_ranges(Panel<T>& panel, int count) {
  // a lane without visible keys has an empty range at any position: it must not widen `any`
  panel.any = {panel.visible[0].end, panel.visible[0].begin};
  panel.all = panel.visible[0];
  bool first = true;
  for (int lane = 0; lane < count; ++lane) {
    const KeyRange visible = panel.visible[lane];
    panel.all = {std::max(panel.all.begin, visible.begin), std::min(panel.all.end, visible.end)};
    if (visible.empty()) continue;
    panel.any = first ? visible
                      : KeyRange{std::min(panel.any.begin, visible.begin),
                                 std::max(panel.any.end, visible.end)};
    first = false;
  }
  if (first) panel.any = {0, 0};
}

template <class T>
void finish_panel(Panel<T>& panel, const Problem& problem, const Item& item, int count) {
  panel.count = count;
  panel.vectors = (count + simd::lanes<T> - 1) / simd::lanes<T>;
  panel.one_head = panel.head[0] == panel.head[count - 1];
  if (problem.left < 0 && problem.right < 0) {
    panel.any = panel.all = panel.visible[0];
  } else {
    combine_ranges(panel, count);
  }
  for (int lane = count; lane < panel.lanes(); ++lane) {
    panel.head[lane] = panel.head[count - 1];
    panel.query[lane] = panel.query[count - 1];
    panel.visible[lane] = panel.visible[count - 1];
  }
  for (int lane = 0; problem.block_mask && lane < panel.lanes(); ++lane) {
    panel.blocks[lane] =
        problem.block_mask.row(&item - problem.items, panel.head[lane], panel.query[lane]);
  }
}

// Fills the panel with rows [first, first + count) of the rows (head of the group, query) of one
// key/value head.
template <class T>
void fill_panel(Panel<T>& panel, const Problem& problem, const Item& item, std::ptrdiff_t kv_head,
                std::ptrdiff_t first, int count) {
  std::ptrdiff_t head = kv_head * problem.group() + first / item.queries;
  std::ptrdiff_t query = first % item.queries;
  for (int lane = 0; lane < count; ++lane, ++query) {
    if (query == item.queries) {
      query = 0;
      ++head;
    }
    set_lane(panel, lane, problem, item, head, query);
  }
  finish_panel(panel, problem, item, count);
}

}  // namespace heedful
