#include "attention/forward/decode.hpp"

#include <algorithm>
#include <cstring>

#include "arrays/work_area.hpp"
#include "attention/forward/row_source.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/dropped_block.hpp"
#include "attention/softmax/online_softmax.hpp"
#include "kernels/bfloat16_dot.hpp"
#include "kernels/dot_kernel.hpp"
#include "kernels/nonfinite.hpp"
#include "kernels/row_vectors.hpp"
#include "kernels/weigh_kernel.hpp"
#include "simd/bfloat16_pairs.hpp"

namespace heedful {
namespace {

// Whether queries and keys are bfloat16, in a layout that dot_pair_rows can read.
template <class T>
bool uses_pairs(const ForwardCall<T>& call) {
  const auto readable = [](const TensorView& view) {
    return view.type == ElementType::bfloat16 && view.column_stride == 2 &&
           view.row_stride % 4 == 0 && !view.pages;
  };
  const Problem& problem = call.problem;
  return problem.bfloat16.row_scores == simd::Bfloat16Way::pairs && problem.may_round_weights() &&
         readable(call.query) && readable(call.key) && problem.depth > 0 &&
         problem.depth % pair_columns == 0;
}

template <class T>
struct Scratch {
  std::size_t size;
  std::ptrdiff_t tile;          // maximum keys of a tile, padded to whole vectors
  RowVectors<T> key_vectors;    // of D
  RowVectors<T> value_vectors;  // of Dv
  std::ptrdiff_t depth;         // D, padded to whole vectors
  std::ptrdiff_t out_depth;     // Dv, padded to whole vectors
  bool pairs;                   // the queries are pairs of bfloat16, unscaled
  T* queries;                   // (rows, depth), scaled, see DotQueries
  T* outs;                      // (rows, out_depth), see Weighing
  T* maxima;                    // (rows)
  T* sums;
  T* scores;      // (rows, tile)
  T* mask;        // (rows, tile): mask and bias as values to add
  T* score_copy;  // (rows, tile): for products that must skip hidden keys
  T* keys;        // (tile, depth), for keys that cannot be read in place
  T* values;      // (tile, out_depth), likewise
  T* row;         // (D or Dv)

  Scratch(const ForwardCall<T>& call, std::byte* memory)
      : key_vectors(call.problem.depth), value_vectors(call.problem.value_depth) {
    const Problem& problem = call.problem;
    constexpr std::ptrdiff_t rows = decode_rows<T>;
    tile = padded<T>(KeyTiles::max_keys(tile_keys(problem)));
    depth = padded<T>(problem.depth);
    pairs = uses_pairs(call);
    out_depth = padded<T>(problem.value_depth);
    WorkArea area(memory);
    queries = area.take<T>(rows * depth);
    outs = area.take<T>(rows * out_depth);
    maxima = area.take<T>(rows);
    sums = area.take<T>(rows);
    scores = area.take<T>(rows * tile);
    mask = area.take<T>(problem.has_masks() ? rows * tile : 0);
    score_copy = area.take<T>(rows * tile);
    keys = area.take<T>(tile * depth);
    values = area.take<T>(tile * out_depth);
    row = area.take<T>(std::max(depth, out_depth));
    size = area.size();
  }
  std::uint16_t* paired_queries() const { return reinterpret_cast<std::uint16_t*>(queries); }
};

template <class T>
void load_queries(const ForwardCall<T>& call, const RowTask& task, const Scratch<T>& scratch) {
  const Problem& problem = call.problem;
  const std::ptrdiff_t padded_rows =
      task.rows / 4 * 4 + (task.rows % 4 ? dot_rows_of(task.rows % 4) : 0);
  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    const Row row = row_of(problem, task, r);
    const char* const from =
        call.query.row(task.item, row.head, problem.items[task.item].query_begin + row.query);
    std::fill_n(scratch.outs + r * scratch.out_depth, scratch.out_depth, T{0});
    start_row(scratch.maxima[r], scratch.sums[r], task.key_split == 0 ? problem.sink : nullptr,
              row.head, call.rule.unit);
    if (scratch.pairs) {
      std::memcpy(scratch.paired_queries() + r * problem.depth, from,
                  static_cast<std::size_t>(problem.depth) * 2);
      continue;
    }
    const T* query = reinterpret_cast<const T*>(from);
    if (problem.depth < simd::lanes<T> || !call.query.template in_place<T>()) {
      std::fill(scratch.row + problem.depth, scratch.row + scratch.depth, T{0});
      read_row(from, call.query.type, call.query.column_stride, scratch.row, problem.depth);
      query = scratch.row;
    }
    T* const to = scratch.queries + r * scratch.depth;
    scratch.key_vectors.spread(query, call.rule.query_factor, to);
    std::fill_n(to + scratch.depth - (scratch.depth ? simd::lanes<T> : 0),
                scratch.key_vectors.repeated(), T{0});
  }
  const std::ptrdiff_t stride = scratch.pairs ? scratch.depth / 2 : scratch.depth;
  std::fill(scratch.queries + task.rows * stride, scratch.queries + padded_rows * stride, T{0});
}

// Reads mask and bias of the tile, before its keys and values are read. False if the whole tile is
// hidden from every row.
template <class T>
bool read_masks(const ForwardCall<T>& call, const RowTask& task, KeyRange tile,
                const Scratch<T>& scratch, bool& partial) {
  const Problem& problem = call.problem;
  bool any_visible = false;
  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    const Row row = row_of(problem, task, r);
    const KeyRange visible = visible_keys(problem, problem.items[task.item], row.query);
    bool row_visible = visible.begin < tile.end && visible.end > tile.begin;
    partial |= visible.begin > tile.begin || visible.end < tile.end;
    if (problem.has_masks()) {
      bool any_hidden = false;
      row_visible &= mask_row(problem, task.item, row.head, row.query, tile,
                              scratch.mask + r * scratch.tile, any_hidden);
      partial |= any_hidden;
    }
    any_visible |= row_visible;
  }
  return any_visible;
}

// Whether the tile's weights are all small; then the mask says so, and its values are not read.
template <class T>
bool all_dropped(const ForwardCall<T>& call, const RowTask& task, KeyRange tile,
                 const Scratch<T>& scratch) {
  const DroppedBlocks<T> dropped(call.problem, call.rule);
  if (!dropped) return false;
  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    const T* const scores = scratch.scores + r * scratch.tile;
    const T limit = dropped.limit(scratch.maxima[r]);
    if (!std::all_of(scores, scores + tile.size(), [&](T score) { return score <= limit; })) {
      return false;
    }
  }
  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    const Row row = row_of(call.problem, task, r);
    dropped.drop(call.problem.block_mask.row(task.item, row.head, row.query), tile.begin);
  }
  return true;
}

// The prefetch distance in bytes: some hundred cache lines, of which memory delivers one every few
// nanoseconds.
constexpr std::ptrdiff_t prefetch_distance = 12288;

template <class T>
void process_tile(const ForwardCall<T>& call, const RowTask& task, KeyRange tile, KeyRange next,
                  const Scratch<T>& scratch) {
  const Problem& problem = call.problem;
  const std::ptrdiff_t first = problem.items[task.item].key_begin;
  bool partial = false;
  if (!read_masks(call, task, tile, scratch, partial)) return;
  TileRows<T> keys(call.key, task.item, task.kv_head, first, tile, problem.depth,
                   InPlace::full_vector, scratch.keys);
  TileRows<T> values(call.value, task.item, task.kv_head, first, tile, problem.value_depth,
                     InPlace::full_vector, scratch.values);
  const RowSource key_source{call.key, task.item, task.kv_head, first};
  const RowSource value_source{call.value, task.item, task.kv_head, first};
  const auto distance = [](const TensorView& view, std::ptrdiff_t columns) {
    return prefetch_distance / std::max<std::ptrdiff_t>(columns * element_size(view.type), 256);
  };
  const DotQueries<T> queries{scratch.queries, task.rows, scratch.key_vectors};
  run_with_prefetch(key_source, tile, value_source, tile, distance(call.key, problem.depth),
                    [&](KeyRange range, const LinePrefetch& prefetch) {
                      T* const scores = scratch.scores + (range.begin - tile.begin);
                      if constexpr (simd::compiled_bfloat16_pairs && sizeof(T) == sizeof(float)) {
                        if (scratch.pairs) {
                          return dot_pair_rows(scratch.paired_queries(), task.rows, problem.depth,
                                               call.rule.query_factor,
                                               key_source.halves(range.begin), range.size(),
                                               prefetch, scores, scratch.tile);
                        }
                      }
                      with_stored_rows(key_source, keys, range, problem.depth, [&](auto rows) {
                        dot_rows(queries, rows, range.size(), prefetch, scores, scratch.tile);
                      });
                    });
  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    const Row row = row_of(problem, task, r);
    const KeyRange visible = visible_keys(problem, problem.items[task.item], row.query);
    const T* const added = problem.has_masks() ? scratch.mask + r * scratch.tile : nullptr;
    score_row(problem, task.item, row.head, row.query, tile, visible, call.rule, added,
              scratch.scores + r * scratch.tile);
  }
  const bool skip_hidden = partial && problem.value_depth > 0 && !values.finite();
  if (skip_hidden) std::copy_n(scratch.scores, task.rows * scratch.tile, scratch.score_copy);
  if (all_dropped(call, task, tile, scratch)) return;
  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    with_normalizer(call.rule, [&](const auto& normalizer) {
      add_row(normalizer, scratch.scores + r * scratch.tile, tile.size(), scratch.maxima[r],
              scratch.sums[r], scratch.outs + r * scratch.out_depth, scratch.out_depth);
    });
    if (problem.dropout_p > 0) {
      const Row row = row_of(problem, task, r);
      apply_dropout_row(problem, task.item, row.head, row.query, tile, T{1},
                        scratch.scores + r * scratch.tile);
    }
  }
  if (problem.value_depth == 0) return;
  run_with_prefetch(
      value_source, tile, key_source, next, distance(call.value, problem.value_depth),
      [&](KeyRange range, const LinePrefetch& prefetch) {
        const std::ptrdiff_t at = range.begin - tile.begin;
        const auto weighing = [&](auto rows) {
          return Weighing<T, std::remove_const_t<std::remove_pointer_t<decltype(rows.data)>>>{
              task.rows, range.size(),          scratch.scores + at, scratch.tile,
              rows,      scratch.value_vectors, scratch.outs,        scratch.out_depth,
              prefetch};
        };
        if (skip_hidden) {
          guarded_weigh(scratch.score_copy + at, weighing(values.from(range.begin)));
        } else {
          with_stored_rows(value_source, values, range, problem.value_depth,
                           [&](auto rows) { weigh(weighing(rows)); });
        }
      });
}

template <class T>
void write_result(const ForwardCall<T>& call, const RowTask& task, std::ptrdiff_t r,
                  const Scratch<T>& scratch) {
  const Problem& problem = call.problem;
  const Row row = row_of(problem, task, r);
  const T factor = out_factor(call.rule, scratch.sums[r], call.dropout_factor);
  char* const to =
      call.out.row(task.item, row.head, problem.items[task.item].query_begin + row.query);
  const bool in_place = problem.value_depth >= simd::lanes<T> && call.out.template in_place<T>();
  T* const joined = in_place ? reinterpret_cast<T*>(to) : scratch.row;
  scratch.value_vectors.join(scratch.outs + r * scratch.out_depth, factor, joined);
  if (!in_place) {
    write_row(scratch.row, to, call.out.type, call.out.column_stride, problem.value_depth);
  }
  write_lse(call, task.item, row, log_sum_exp(call.rule, scratch.maxima[r], scratch.sums[r]));
}

}  // namespace

template <class T>
std::size_t decode_scratch(const ForwardCall<T>& call) {
  return Scratch<T>(call, nullptr).size;
}

template <class T>
void decode(const ForwardCall<T>& call, const RowTask& task, const KeySplit<T>& split,
            Worker& worker, std::byte* memory) {
  const Problem& problem = call.problem;
  const Scratch<T> scratch(call, memory);
  load_queries(call, task, scratch);

  // shorter tiles, which alternate between keys and values more often, read memory up to 20 %
  // slower
  BlockRows blocks(problem, task.rows);
  for (std::ptrdiff_t r = 0; problem.block_mask && r < task.rows; ++r) {
    const Row row = row_of(problem, task, r);
    blocks.add(problem.block_mask.row(task.item, row.head, row.query));
  }
  const KeyTiles tiles(task.keys, tile_keys(problem), blocks);
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    const KeyRange next = t + 1 < tiles.count() ? tiles[t + 1] : KeyRange{0, 0};
    process_tile(call, task, tiles[t], next, scratch);
  }

  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    if (split.sum) {
      scratch.value_vectors.join(scratch.outs + r * scratch.out_depth, T{1}, scratch.row);
      std::copy_n(scratch.row, problem.value_depth, split.out + r * problem.value_depth);
      split.maximum[r] = scratch.maxima[r];
      split.sum[r] = scratch.sums[r];
    } else {
      write_result(call, task, r, scratch);
    }
  }
}

template std::size_t decode_scratch(const ForwardCall<float>&);
template std::size_t decode_scratch(const ForwardCall<double>&);
template void decode(const ForwardCall<float>&, const RowTask&, const KeySplit<float>&, Worker&,
                     std::byte*);
template void decode(const ForwardCall<double>&, const RowTask&, const KeySplit<double>&, Worker&,
                     std::byte*);

}  // namespace heedful
