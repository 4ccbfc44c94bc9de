#include "attention/forward/decode.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "arrays/work_area.hpp"
#include "attention/forward/row_source.hpp"
#include "attention/problem/key_tiles.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/online_softmax.hpp"
#include "kernels/bfloat16_dot.hpp"
#include "kernels/dot_kernel.hpp"
#include "kernels/nonfinite.hpp"
#include "kernels/row_vectors.hpp"
#include "kernels/weigh_kernel.hpp"
#include "simd/bfloat16_pairs.hpp"

namespace heedful {
namespace {

template <class T>
inline constexpr T hidden = -std::numeric_limits<T>::infinity();

// Queries and keys are of bfloat16, and lie as dot_pair_rows reads them.
template <class T>
bool multiplies_pairs(const ForwardCall<T>& call) {
  const auto lies = [](const TensorView& view) {
    return view.type == ElementType::bfloat16 && view.column_stride == 2 &&
           view.row_stride % 4 == 0;
  };
  const Problem& problem = call.problem;
  return problem.may_pair() && lies(call.query) && lies(call.key) && problem.depth > 0 &&
         problem.depth % pair_columns == 0 && simd::has_bfloat16_pairs();
}

template <class T>
struct Areas {
  std::size_t size;
  std::ptrdiff_t tile;          // most keys of a tile, whole vectors
  RowVectors<T> key_vectors;    // of D
  RowVectors<T> value_vectors;  // of Dv
  std::ptrdiff_t depth;         // D, whole vectors
  std::ptrdiff_t out_depth;     // Dv, whole vectors
  bool pairs;                   // the queries are pairs of bfloat16, not scaled
  T* queries;                   // (rows, depth), scaled, see DotQueries
  T* outs;                      // (rows, out_depth), see Weighing
  T* maxima;                    // (rows)
  T* sums;
  T* scores;  // (rows, tile)
  T* mask;    // (rows, tile): what mask and bias add
  T* guard;   // (rows, tile): a copy of the scores
  T* keys;    // (tile, depth), for keys that cannot be read in place
  T* values;  // (tile, out_depth), likewise
  T* row;     // (D or Dv)

  Areas(const ForwardCall<T>& call, std::byte* scratch)
      : key_vectors(call.problem.depth), value_vectors(call.problem.value_depth) {
    const Problem& problem = call.problem;
    constexpr std::ptrdiff_t rows = decode_rows<T>;
    tile = padded<T>(KeyTiles::most(tile_keys(problem)));
    depth = padded<T>(problem.depth);
    pairs = multiplies_pairs(call);
    out_depth = padded<T>(problem.value_depth);
    WorkArea area(scratch);
    queries = area.take<T>(rows * depth);
    outs = area.take<T>(rows * out_depth);
    maxima = area.take<T>(rows);
    sums = area.take<T>(rows);
    scores = area.take<T>(rows * tile);
    mask = area.take<T>(problem.mask || problem.bias ? rows * tile : 0);
    guard = area.take<T>(rows * tile);
    keys = area.take<T>(tile * depth);
    values = area.take<T>(tile * out_depth);
    row = area.take<T>(std::max(depth, out_depth));
    size = area.size();
  }
  std::uint16_t* paired_queries() const { return reinterpret_cast<std::uint16_t*>(queries); }
};

template <class T>
void load_queries(const ForwardCall<T>& call, const RowTask& task, const Areas<T>& areas) {
  const Problem& problem = call.problem;
  const std::ptrdiff_t padded_rows =
      task.rows / 4 * 4 + (task.rows % 4 ? dot_rows_of(task.rows % 4) : 0);
  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    const Row row = row_of(problem, task, r);
    const char* const from =
        call.query.row(task.item, row.head, problem.items[task.item].query_begin + row.query);
    std::fill_n(areas.outs + r * areas.out_depth, areas.out_depth, T{0});
    start_row(areas.maxima[r], areas.sums[r], task.key_split == 0 ? problem.sink : nullptr,
              row.head, call.rule.unit);
    if (areas.pairs) {
      std::memcpy(areas.paired_queries() + r * problem.depth, from,
                  static_cast<std::size_t>(problem.depth) * 2);
      continue;
    }
    const T* query = reinterpret_cast<const T*>(from);
    if (problem.depth < simd::lanes<T> || !call.query.template in_place<T>()) {
      std::fill(areas.row + problem.depth, areas.row + areas.depth, T{0});
      read_row(from, call.query.type, call.query.column_stride, areas.row, problem.depth);
      query = areas.row;
    }
    T* const to = areas.queries + r * areas.depth;
    areas.key_vectors.spread(query, call.rule.query_factor, to);
    std::fill_n(to + areas.depth - (areas.depth ? simd::lanes<T> : 0), areas.key_vectors.repeated(),
                T{0});
  }
  const std::ptrdiff_t stride = areas.pairs ? areas.depth / 2 : areas.depth;
  std::fill(areas.queries + task.rows * stride, areas.queries + padded_rows * stride, T{0});
}

// What mask and bias say of the tile, before anything of it is read. False when no row sees any of
// it.
template <class T>
bool look(const ForwardCall<T>& call, const RowTask& task, KeyRange tile, const Areas<T>& areas,
          bool& partial) {
  const Problem& problem = call.problem;
  bool any = false;
  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    const Row row = row_of(problem, task, r);
    const KeyRange sees = visible_keys(problem, problem.items[task.item], row.query);
    bool shows = sees.begin < tile.end && sees.end > tile.begin;
    partial |= sees.begin > tile.begin || sees.end < tile.end;
    if (problem.mask || problem.bias) {
      bool hides = false;
      shows &= mask_row(problem, task.item, row.head, row.query, tile, areas.mask + r * areas.tile,
                        hides);
      partial |= hides;
    }
    any |= shows;
  }
  return any;
}

// How far ahead rows are fetched, in bytes: some hundred lines, of which memory delivers one each
// few nanoseconds.
constexpr std::ptrdiff_t prefetch_distance = 12288;

template <class T>
void attend(const ForwardCall<T>& call, const RowTask& task, KeyRange tile, KeyRange next,
            const Areas<T>& areas) {
  const Problem& problem = call.problem;
  const std::ptrdiff_t first = problem.items[task.item].key_begin;
  bool partial = false;
  if (!look(call, task, tile, areas, partial)) return;
  TileRows<T> keys(call.key, task.item, task.kv_head, first, tile, problem.depth, true, areas.keys);
  TileRows<T> values(call.value, task.item, task.kv_head, first, tile, problem.value_depth, true,
                     areas.values);
  const RowSource key_source{call.key, task.item, task.kv_head, first};
  const RowSource value_source{call.value, task.item, task.kv_head, first};
  const auto distance = [](const TensorView& view, std::ptrdiff_t columns) {
    return prefetch_distance / std::max<std::ptrdiff_t>(columns * element_size(view.type), 256);
  };
  const DotQueries<T> queries{areas.queries, task.rows, areas.key_vectors};
  work_ahead(key_source, tile, value_source, tile, distance(call.key, problem.depth),
             [&](KeyRange part, const LinePrefetch& prefetch) {
               T* const scores = areas.scores + (part.begin - tile.begin);
               if constexpr (simd::compiled_bfloat16_pairs && sizeof(T) == sizeof(float)) {
                 if (areas.pairs) {
                   return dot_pair_rows(areas.paired_queries(), task.rows, problem.depth,
                                        call.rule.query_factor, key_source.halves(part.begin),
                                        part.size(), prefetch, scores, areas.tile);
                 }
               }
               with_stored(key_source, keys, part, problem.depth, [&](auto rows) {
                 dot_rows(queries, rows, part.size(), prefetch, scores, areas.tile);
               });
             });
  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    const Row row = row_of(problem, task, r);
    const KeyRange sees = visible_keys(problem, problem.items[task.item], row.query);
    const T* const added = problem.mask || problem.bias ? areas.mask + r * areas.tile : nullptr;
    score_row(problem, task.item, row.head, row.query, tile, sees, call.rule, added,
              areas.scores + r * areas.tile);
  }
  const bool guard = partial && problem.value_depth > 0 && !values.finite();
  if (guard) std::copy_n(areas.scores, task.rows * areas.tile, areas.guard);
  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    with_normalizer(call.rule, [&](const auto& normalizer) {
      add_row(normalizer, areas.scores + r * areas.tile, tile.size(), areas.maxima[r],
              areas.sums[r], areas.outs + r * areas.out_depth, areas.out_depth);
    });
    if (problem.dropout_p > 0) {
      const Row row = row_of(problem, task, r);
      drop_row(problem, task.item, row.head, row.query, tile, T{1}, areas.scores + r * areas.tile);
    }
  }
  if (problem.value_depth == 0) return;
  work_ahead(
      value_source, tile, key_source, next, distance(call.value, problem.value_depth),
      [&](KeyRange part, const LinePrefetch& prefetch) {
        const std::ptrdiff_t at = part.begin - tile.begin;
        const auto weighing = [&](auto rows) {
          return Weighing<T, std::remove_const_t<std::remove_pointer_t<decltype(rows.data)>>>{
              task.rows,           part.size(), areas.scores + at, areas.tile, rows,
              areas.value_vectors, areas.outs,  areas.out_depth,   prefetch};
        };
        if (guard) {
          guarded_weigh(areas.guard + at, weighing(values.from(part.begin)));
        } else {
          with_stored(value_source, values, part, problem.value_depth,
                      [&](auto rows) { weigh(weighing(rows)); });
        }
      });
}

template <class T>
void write_result(const ForwardCall<T>& call, const RowTask& task, std::ptrdiff_t r,
                  const Areas<T>& areas) {
  const Problem& problem = call.problem;
  const Row row = row_of(problem, task, r);
  const T factor = out_factor(call.rule, areas.sums[r], call.dropout_factor);
  char* const to =
      call.out.row(task.item, row.head, problem.items[task.item].query_begin + row.query);
  const bool in_place = problem.value_depth >= simd::lanes<T> && call.out.template in_place<T>();
  T* const joined = in_place ? reinterpret_cast<T*>(to) : areas.row;
  areas.value_vectors.join(areas.outs + r * areas.out_depth, factor, joined);
  if (!in_place) {
    write_row(areas.row, to, call.out.type, call.out.column_stride, problem.value_depth);
  }
  write_lse(call, task.item, row, log_sum_exp(call.rule, areas.maxima[r], areas.sums[r]));
}

}  // namespace

template <class T>
std::size_t decode_scratch(const ForwardCall<T>& call) {
  return Areas<T>(call, nullptr).size;
}

template <class T>
void decode(const ForwardCall<T>& call, const RowTask& task, const KeySplit<T>& part,
            Worker& worker) {
  const Problem& problem = call.problem;
  const Areas<T> areas(call, worker.scratch);
  load_queries(call, task, areas);

  // shorter tiles, so more turns between keys and values, read memory up to 20 % slower
  const KeyTiles tiles(task.keys, tile_keys(problem));
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    worker.check();
    const KeyRange next = t + 1 < tiles.count() ? tiles[t + 1] : KeyRange{0, 0};
    attend(call, task, tiles[t], next, areas);
  }

  for (std::ptrdiff_t r = 0; r < task.rows; ++r) {
    if (part.sum) {
      areas.value_vectors.join(areas.outs + r * areas.out_depth, T{1}, areas.row);
      std::copy_n(areas.row, problem.value_depth, part.out + r * problem.value_depth);
      part.maximum[r] = areas.maxima[r];
      part.sum[r] = areas.sums[r];
    } else {
      write_result(call, task, r, areas);
    }
  }
}

template std::size_t decode_scratch(const ForwardCall<float>&);
template std::size_t decode_scratch(const ForwardCall<double>&);
template void decode(const ForwardCall<float>&, const RowTask&, const KeySplit<float>&, Worker&);
template void decode(const ForwardCall<double>&, const RowTask&, const KeySplit<double>&, Worker&);

}  // namespace heedful
