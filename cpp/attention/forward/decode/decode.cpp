#include "attention/forward/decode/decode.hpp"

#include <algorithm>
#include <cstring>

#include "attention/forward/decode/head_tile.hpp"
#include "attention/forward/decode/row_source.hpp"
#include "attention/forward/decode/scratch.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/softmax/online_softmax.hpp"
#include "kernels/dot_kernel.hpp"
#include "kernels/int16_dot.hpp"

namespace heedful {
namespace {

template <class T>
void load_queries(const ForwardCall<T>& call, DecodeHead<T>& head,
                  const DecodeScratch<T>& scratch) {
  const Problem& problem = call.problem;
  const RowTask& task = head.task;
  const std::ptrdiff_t padded_rows = padded_dot_rows(task.rows);
  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    const Row row = row_of(problem, task, r);
    const char* const from =
        call.query.row(task.item, row.head, problem.items[task.item].query_begin + row.query);
    std::fill_n(head.outs + r * scratch.out_depth, scratch.out_depth, T{0});
    start_row(head.maxima[r], head.sums[r], task.key_split == 0 ? problem.sink : nullptr, row.head,
              call.rule.unit);
    if (scratch.pairs) {
      std::memcpy(head.paired_queries() + r * problem.depth, from,
                  static_cast<std::size_t>(problem.depth) * 2);
      continue;
    }
    const T* query = reinterpret_cast<const T*>(from);
    if (problem.depth < simd::lanes<T> || !call.query.template in_place<T>()) {
      std::fill(scratch.row + problem.depth, scratch.row + scratch.depth, T{0});
      read_row(from, call.query.type, call.query.column_stride, scratch.row, problem.depth);
      query = scratch.row;
    }
    T* const to = head.queries + r * scratch.depth;
    scratch.key_vectors.spread(query, call.rule.query_factor, to);
    std::fill_n(to + scratch.depth - (scratch.depth ? simd::lanes<T> : 0),
                scratch.key_vectors.repeated(), T{0});
    if constexpr (sizeof(T) == sizeof(float)) {
      head.rounded_queries &=
          head.rounded_queries &&
          round_to_int16(to, problem.depth, head.int16_queries + r * problem.depth,
                         head.query_scales[r]);
    }
  }
  const std::ptrdiff_t stride = scratch.pairs ? scratch.depth / 2 : scratch.depth;
  std::fill(head.queries + task.rows * stride, head.queries + padded_rows * stride, T{0});
  if (head.rounded_queries) {
    std::fill(head.int16_queries + task.rows * problem.depth,
              head.int16_queries + padded_rows * problem.depth, std::int16_t{0});
  }
}

template <class T>
void write_result(const ForwardCall<T>& call, const DecodeHead<T>& head, std::ptrdiff_t r,
                  const DecodeScratch<T>& scratch) {
  const Problem& problem = call.problem;
  const RowTask& task = head.task;
  const Row row = row_of(problem, task, r);
  const T factor = out_factor(call.rule, head.sums[r], call.dropout_factor);
  char* const to =
      call.out.row(task.item, row.head, problem.items[task.item].query_begin + row.query);
  const bool in_place = problem.value_depth >= simd::lanes<T> && call.out.template in_place<T>();
  T* const joined = in_place ? reinterpret_cast<T*>(to) : scratch.row;
  scratch.value_vectors.join(head.outs + r * scratch.out_depth, factor, joined);
  if (!in_place) {
    write_row(scratch.row, to, call.out.type, call.out.column_stride, problem.value_depth);
  }
  write_lse(call, task.item, row, log_sum_exp(call.rule, head.maxima[r], head.sums[r]));
}

// Adds a tile to the states of all heads of the task, reading their rows in the order in which they
// are in memory; `next` is the tile that follows, or empty.
template <class T>
void process_tile(const ForwardCall<T>& call, const RowTask& task, KeyRange tile, KeyRange next,
                  const DecodeScratch<T>& scratch) {
  const Problem& problem = call.problem;
  const auto head_tile = [&](std::ptrdiff_t h) {
    return HeadTile<T>(call, tile, scratch, scratch.heads[h]);
  };
  const auto each_visible = [&](const auto& work) {
    for (std::ptrdiff_t h = 0; h < task.kv_heads; ++h) {
      if (scratch.heads[h].visible) work(head_tile(h));
    }
  };
  bool any_visible = false;
  for (std::ptrdiff_t h = 0; h < task.kv_heads; ++h) any_visible |= head_tile(h).read_masks();
  if (!any_visible) return;
  const std::ptrdiff_t first = problem.items[task.item].key_begin;
  const RowSource keys{call.key, task.item, task.kv_head, first};
  const RowSource values{call.value, task.item, task.kv_head, first};
  const TileReader key_reader(keys, task.kv_heads, problem.depth, task.rows > max_dot_rows<T>);
  const TileReader value_reader(values, task.kv_heads, problem.value_depth,
                                weigh_rereads(task.rows, scratch.value_vectors));
  const bool one_head = task.kv_heads == 1;
  if (!one_head || !head_tile(0).dot_listed({values, tile.begin, tile.end})) {
    key_reader.ranges(tile, values, tile, [&](KeyRange range, const NextRows& then) {
      key_reader.pieces(range, then, [&](std::ptrdiff_t h, KeyRange piece, LinePrefetch prefetch) {
        if (scratch.heads[h].visible) head_tile(h).dot(piece, prefetch);
      });
    });
  }
  each_visible([](HeadTile<T> head) { head.weights(); });
  any_visible = false;  // some block was not dropped
  each_visible([&](HeadTile<T>) { any_visible = true; });
  if (!any_visible || problem.value_depth == 0) return;
  if (!one_head || !head_tile(0).weigh_listed({keys, next.begin, next.end})) {
    value_reader.ranges(tile, keys, next, [&](KeyRange range, const NextRows& then) {
      each_visible([](HeadTile<T> head) { head.start_range(); });
      if (one_head && call.value.pages) {
        value_reader.groups(range, then, [&](const PieceGroup& g) { head_tile(0).weigh_group(g); });
      } else {
        value_reader.pieces(range, then,
                            [&](std::ptrdiff_t h, KeyRange piece, LinePrefetch prefetch) {
                              if (scratch.heads[h].visible)
                                head_tile(h).weigh_piece(piece, prefetch);
                            });
      }
      each_visible([&](HeadTile<T> head) { head.finish_range(range); });
    });
  }
  each_visible([](HeadTile<T> head) { head.finish(); });
}

}  // namespace

template <class T>
std::size_t decode_scratch(const ForwardCall<T>& call) {
  return DecodeScratch<T>(call, call.decoded_rows, nullptr).size;
}

template <class T>
void decode(const ForwardCall<T>& call, const RowTask& task, KeySplits<T>* splits, Worker& worker,
            std::byte* memory) {
  const Problem& problem = call.problem;
  const DecodeScratch<T> scratch(call, call.decoded_rows, memory);
  scratch.start(task);
  for (std::ptrdiff_t h = 0; h < task.kv_heads; ++h) load_queries(call, scratch.heads[h], scratch);

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

  for (std::ptrdiff_t h = 0; h < task.kv_heads; ++h) {
    const DecodeHead<T>& head = scratch.heads[h];
    const KeySplit<T> split = splits ? splits->at(head.task, task.key_split) : KeySplit<T>();
    for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
      if (!splits) {
        write_result(call, head, r, scratch);
        continue;
      }
      scratch.value_vectors.join(head.outs + r * scratch.out_depth, T{1}, scratch.row);
      std::copy_n(scratch.row, problem.value_depth, split.out + r * problem.value_depth);
      split.maximum[r] = head.maxima[r];
      split.sum[r] = head.sums[r];
    }
  }
}

template std::size_t decode_scratch(const ForwardCall<float>&);
template std::size_t decode_scratch(const ForwardCall<double>&);
template void decode(const ForwardCall<float>&, const RowTask&, KeySplits<float>*, Worker&,
                     std::byte*);
template void decode(const ForwardCall<double>&, const RowTask&, KeySplits<double>*, Worker&,
                     std::byte*);

}  // namespace heedful
