#include "attention/forward/decode.hpp"

#include <algorithm>
#include <cstring>

#include "attention/forward/decode_scratch.hpp"
#include "attention/forward/row_source.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/dropped_block.hpp"
#include "attention/softmax/online_softmax.hpp"
#include "kernels/bfloat16_dot.hpp"
#include "kernels/dot_kernel.hpp"
#include "kernels/int16_dot.hpp"
#include "kernels/int16_weigh.hpp"
#include "kernels/nonfinite.hpp"
#include "kernels/row_vectors.hpp"
#include "kernels/weigh_kernel.hpp"
#include "simd/bfloat16_pairs.hpp"

namespace heedful {
namespace {

template <class T>
void load_queries(const ForwardCall<T>& call, const RowTask& task, DecodeScratch<T>& scratch) {
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
    if constexpr (sizeof(T) == sizeof(float)) {
      scratch.rounded_queries &=
          scratch.rounded_queries &&
          round_to_int16(to, problem.depth, scratch.int16_queries + r * problem.depth,
                         scratch.query_scales[r]);
    }
  }
  const std::ptrdiff_t stride = scratch.pairs ? scratch.depth / 2 : scratch.depth;
  std::fill(scratch.queries + task.rows * stride, scratch.queries + padded_rows * stride, T{0});
  if (scratch.rounded_queries) {
    std::fill(scratch.int16_queries + task.rows * problem.depth,
              scratch.int16_queries + padded_rows * problem.depth, std::int16_t{0});
  }
}

// Reads mask and bias of the tile, before its keys and values are read. False if the whole tile is
// hidden from every row.
template <class T>
bool read_masks(const ForwardCall<T>& call, const RowTask& task, KeyRange tile,
                const DecodeScratch<T>& scratch, bool& partial) {
  const Problem& problem = call.problem;
  bool any_visible = false;
  partial |= problem.key_dropout_p > 0;
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
                 const DecodeScratch<T>& scratch) {
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

// Rounds the weights of a tile to int16. False if some row cannot be.
inline bool round_weights(const RowTask& task, std::ptrdiff_t keys,
                          const DecodeScratch<float>& scratch) {
  if (!scratch.rounded_weights) return false;
  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    float* const weights = scratch.scores + r * scratch.tile;
    const std::ptrdiff_t vectors = padded<float>(keys);
    std::fill(weights + keys, weights + vectors, 0.0f);
    if (!round_to_int16(weights, vectors, scratch.int16_weights + r * scratch.tile,
                        scratch.weight_scales[r])) {
      return false;
    }
  }
  return true;
}

// The prefetch distance in bytes: some hundred cache lines, of which memory delivers one every few
// nanoseconds.
constexpr std::ptrdiff_t prefetch_distance = 12288;

template <class T>
void process_tile(const ForwardCall<T>& call, const RowTask& task, KeyRange tile, KeyRange next,
                  const DecodeScratch<T>& scratch) {
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
  const auto dot_piece = [&](KeyRange keys_of_piece, const LinePrefetch& prefetch) {
    T* const scores = scratch.scores + (keys_of_piece.begin - tile.begin);
    if constexpr (simd::compiled_bfloat16_pairs && sizeof(T) == sizeof(float)) {
      if (scratch.pairs) {
        return dot_pair_rows(scratch.paired_queries(), task.rows, problem.depth,
                             call.rule.query_factor, key_source.halves(keys_of_piece.begin),
                             keys_of_piece.size(), prefetch, scores, scratch.tile);
      }
    }
    if constexpr (sizeof(T) == sizeof(float)) {
      if (scratch.rounded_queries) {
        const Int16Rows rows{scratch.int16_queries, task.rows, problem.depth};
        return dot_int16_rows(rows, key_source.bytes(keys_of_piece.begin), keys_of_piece.size(),
                              prefetch, scores, scratch.tile);
      }
    }
    with_stored_rows(key_source, keys, keys_of_piece, problem.depth, [&](auto rows) {
      dot_rows(queries, rows, keys_of_piece.size(), prefetch, scores, scratch.tile);
    });
  };
  for_ranges(key_source, tile, value_source, tile, distance(call.key, problem.depth),
             [&](KeyRange range, const NextRows& then) {
               for_pieces(key_source, range, then, dot_piece);
             });
  const auto scale = [&](const TensorView& view, std::ptrdiff_t columns, const T* row_scales) {
    if (!reads_int8<T>(view, columns)) return;
    multiply_scales(*view.scales, task.item, task.kv_head, first, tile, task.rows, row_scales,
                    scratch.scores, scratch.tile);
  };
  scale(call.key, problem.depth, scratch.rounded_queries ? scratch.query_scales : nullptr);
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
  const auto weighing = [&](auto rows, KeyRange range, T* sums, const LinePrefetch& prefetch) {
    return Weighing<T, std::remove_const_t<std::remove_pointer_t<decltype(rows.data)>>>{
        task.rows,
        range.size(),
        scratch.scores + (range.begin - tile.begin),
        scratch.tile,
        rows,
        scratch.value_vectors,
        sums,
        scratch.out_depth,
        prefetch};
  };
  if (!skip_hidden) scale(call.value, problem.value_depth, nullptr);
  if constexpr (sizeof(T) == sizeof(float)) {
    if (!skip_hidden && round_weights(task, tile.size(), scratch)) {
      const std::ptrdiff_t columns = problem.value_depth;
      std::fill_n(scratch.int_sums, task.rows * columns, 0);
      const auto weigh_piece = [&](KeyRange piece, const LinePrefetch& prefetch) {
        weigh_int16({task.rows, piece.size(), columns,
                     scratch.int16_weights + (piece.begin - tile.begin), scratch.tile,
                     value_source.bytes(piece.begin), scratch.int_sums, prefetch});
      };
      for_ranges(value_source, tile, key_source, next, distance(call.value, columns),
                 [&](KeyRange range, const NextRows& then) {
                   for_pieces(value_source, range, then, weigh_piece);
                 });
      for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
        add_int16_sums(scratch.int_sums + r * columns, columns, scratch.weight_scales[r],
                       scratch.outs + r * scratch.out_depth);
      }
      return;
    }
  }
  const std::ptrdiff_t outs = task.rows * scratch.out_depth;
  for_ranges(
      value_source, tile, key_source, next, distance(call.value, problem.value_depth),
      [&](KeyRange range, const NextRows& then) {
        if (skip_hidden) {
          const LinePrefetch prefetch = then.source.prefetch_from(then.key);
          return guarded_weigh(scratch.score_copy + (range.begin - tile.begin),
                               weighing(values.from(range.begin), range, scratch.outs, prefetch));
        }
        std::fill_n(scratch.range_outs, outs, T{0});
        for_pieces(value_source, range, then, [&](KeyRange piece, const LinePrefetch& prefetch) {
          with_stored_rows(value_source, values, piece, problem.value_depth, [&](auto rows) {
            weigh(weighing(rows, piece, scratch.range_outs, prefetch));
          });
        });
        for (std::ptrdiff_t i = 0; i < outs; ++i) scratch.outs[i] += scratch.range_outs[i];
      });
}

template <class T>
void write_result(const ForwardCall<T>& call, const RowTask& task, std::ptrdiff_t r,
                  const DecodeScratch<T>& scratch) {
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
  return DecodeScratch<T>(call, nullptr).size;
}

template <class T>
void decode(const ForwardCall<T>& call, const RowTask& task, const KeySplit<T>& split,
            Worker& worker, std::byte* memory) {
  const Problem& problem = call.problem;
  DecodeScratch<T> scratch(call, memory);
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
