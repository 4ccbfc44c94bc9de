// One key tile of a decode task, as one of its key/value heads computes it: masks, scores, weights
// and weighted sums. Keys and values come in pieces, in the order of a TileReader.
#pragma once

#include <algorithm>
#include <cstdint>

#include "attention/forward/decode/listed_tile.hpp"
#include "attention/forward/decode/row_source.hpp"
#include "attention/forward/decode/scratch.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/scores/mask.hpp"
#include "attention/scores/score_tile.hpp"
#include "attention/softmax/dropout.hpp"
#include "attention/softmax/dropped_block.hpp"
#include "attention/softmax/online_softmax.hpp"
#include "kernels/nonfinite.hpp"
#include "kernels/weigh_kernel.hpp"
#include "simd/bfloat16_pairs.hpp"

namespace heedful {

template <class T>
class HeadTile {
 public:
  HeadTile(const ForwardCall<T>& call, KeyRange tile, const DecodeScratch<T>& scratch,
           DecodeHead<T>& head)
      : call_(call), problem_(call.problem), tile_(tile), scratch_(scratch), head_(head) {}

  // Reads mask and bias, before keys and values are read. False if the tile is hidden from every
  // row.
  bool read_masks() {
    head_.visible = false;
    head_.partial = problem_.key_dropout_p > 0;
    for_rows([&](std::ptrdiff_t r, Row row) {
      const KeyRange visible = visible_keys(problem_, item(), row.query);
      bool row_visible = visible.begin < tile_.end && visible.end > tile_.begin;
      head_.partial |= visible.begin > tile_.begin || visible.end < tile_.end ||
                       excluded_key(problem_, item(), row.query, tile_) >= 0;
      if (problem_.has_masks()) {
        bool any_hidden = false;
        row_visible &= mask_row(problem_, head_.task.item, row.head, row.query, tile_,
                                head_.mask + r * scratch_.tile, any_hidden);
        head_.partial |= any_hidden;
      }
      head_.visible |= row_visible;
    });
    return head_.visible;
  }

  // Products of the queries and a piece of the keys.
  void dot(KeyRange piece, const LinePrefetch& prefetch) {
    const RowSource source = source_of(call_.key);
    T* const scores = head_.scores + (piece.begin - tile_.begin);
    if constexpr (sizeof(T) == sizeof(float)) {
      if constexpr (simd::compiled_bfloat16_pairs) {
        if (scratch_.pairs) {
          return dot_pair_rows(head_.paired_queries(), head_.task.rows, problem_.depth,
                               call_.rule.query_factor, source.halves(piece.begin), piece.size(),
                               prefetch, scores, scratch_.tile);
        }
      }
      if (head_.rounded_queries) {
        const Int16Rows rows{head_.int16_queries, head_.task.rows, problem_.depth};
        return dot_int16_rows(rows, source.bytes(piece.begin), piece.size(), prefetch, scores,
                              scratch_.tile);
      }
    }
    const DotQueries<T> queries{head_.queries, head_.task.rows, scratch_.key_vectors};
    with_stored_rows(source, piece, problem_.depth, scratch_.keys, [&](auto rows) {
      dot_rows(queries, rows, piece.size(), prefetch, scores, scratch_.tile);
    });
  }

  // Likewise of all keys of the tile, of int8 on pages; meanwhile the `next` rows are prefetched.
  // False, and nothing is done, where they are not multiplied as integers.
  bool dot_listed(const NextRows& next) {
    if constexpr (sizeof(T) == sizeof(float)) {
      if (!scratch_.key_places || !head_.rounded_queries) return false;
      for (const TensorView* view : {&call_.key, &call_.value}) {
        if (!view->scales) continue;
        prefetch_scales(*view->scales, head_.task.item, head_.task.kv_head, item().key_begin,
                        tile_);
      }
      list_tile(source_of(call_.key), tile_, next, scratch_.key_places);
      dot_int16_rows({head_.int16_queries, head_.task.rows, problem_.depth},
                     RowList<std::int8_t>{scratch_.key_places}, tile_.size(),
                     ListPrefetch{scratch_.key_places + listed_ahead}, head_.scores, scratch_.tile);
      return true;
    }
    return false;
  }

  // Replaces the products by weights.
  void weights() {
    multiply_scales_of(call_.key, problem_.depth,
                       head_.rounded_queries ? head_.query_scales : nullptr);
    for_rows([&](std::ptrdiff_t r, Row row) {
      const KeyRange visible = visible_keys(problem_, item(), row.query);
      const T* const added = problem_.has_masks() ? head_.mask + r * scratch_.tile : nullptr;
      score_row(problem_, head_.task.item, row.head, row.query, tile_, visible, call_.rule, added,
                scores(r));
    });
    if (head_.partial) std::copy_n(scores(0), head_.task.rows * scratch_.tile, head_.score_copy);
    if (all_dropped()) {
      head_.visible = false;
      return;
    }
    for_rows([&](std::ptrdiff_t r, Row row) {
      with_normalizer(call_.rule, [&](const auto& normalizer) {
        add_row(normalizer, scores(r), tile_.size(), head_.maxima[r], head_.sums[r],
                head_.outs + r * scratch_.out_depth, scratch_.out_depth);
      });
      if (problem_.dropout_p > 0) {
        apply_dropout_row(problem_, head_.task.item, row.head, row.query, tile_, T{1}, scores(r));
      }
    });
    scale_weights();
  }

  void start_range() {
    if (!head_.rounded_weights) std::fill_n(head_.range_outs, num_outs(), T{0});
  }

  // Weighted sum of a piece of the values.
  void weigh_piece(KeyRange piece, const LinePrefetch& prefetch) {
    const RowSource source = source_of(call_.value);
    if constexpr (sizeof(T) == sizeof(float)) {
      if (head_.rounded_weights) {
        return weigh_int16({head_.task.rows, piece.size(), problem_.value_depth,
                            head_.int16_weights + (piece.begin - tile_.begin), scratch_.tile,
                            source.bytes(piece.begin), head_.int_sums, prefetch});
      }
    }
    with_stored_rows(source, piece, problem_.value_depth, scratch_.values,
                     [&](auto rows) { weigh(weighing(rows, piece, head_.range_outs, prefetch)); });
  }

  // Likewise of several pieces: of values that are read in place, at once.
  void weigh_group(const PieceGroup& group) {
    int weighed = 0;
    if (!head_.rounded_weights) {
      const RowSource source = source_of(call_.value);
      with_stored_rows(source, group.pieces[0].keys, problem_.value_depth, scratch_.values,
                       [&](auto rows) { weighed = weigh_first(source, group, rows); });
    }
    for (; weighed < group.count; ++weighed) {
      weigh_piece(group.pieces[weighed].keys, group.pieces[weighed].prefetch);
    }
  }

  // Likewise of all values of the tile, as dot_listed().
  bool weigh_listed(const NextRows& next) {
    if constexpr (sizeof(T) == sizeof(float)) {
      if (!scratch_.value_places || !head_.rounded_weights) return false;
      list_tile(source_of(call_.value), tile_, next, scratch_.value_places);
      for (std::ptrdiff_t first = 0; first < tile_.size(); first += listed_piece) {
        const std::int8_t* const* const rows = scratch_.value_places + first;
        weigh_int16(Int16Weighing<RowList<std::int8_t>, ListPrefetch>{
            head_.task.rows,
            std::min(listed_piece, tile_.size() - first),
            problem_.value_depth,
            head_.int16_weights + first,
            scratch_.tile,
            {rows},
            head_.int_sums,
            {rows + listed_ahead}});
      }
      return true;
    }
    return false;
  }

  // Adds the weighted sum of a range to those of the keys before: summing in two levels keeps the
  // error of long rows small. NaN and ∞ of hidden keys have made it NaN: then the range is summed
  // again without them.
  void finish_range(KeyRange range) {
    if (head_.rounded_weights) return;
    const Rows<T> outs{head_.range_outs, scratch_.out_depth};
    if (head_.partial && !scaled_values() &&
        !all_finite<T>(outs, head_.task.rows, scratch_.out_depth)) {
      const Rows<T> values =
          source_of(call_.value).load(range, problem_.value_depth, scratch_.values);
      return guarded_weigh(head_.score_copy + (range.begin - tile_.begin),
                           weighing(values, range, head_.outs, {}));
    }
    for (std::ptrdiff_t i = 0; i < num_outs(); ++i) head_.outs[i] += head_.range_outs[i];
  }

  void finish() {
    if constexpr (sizeof(T) == sizeof(float)) {
      if (!head_.rounded_weights) return;
      for (std::ptrdiff_t r = 0; r < head_.task.rows; ++r) {
        add_int16_sums(head_.int_sums + r * problem_.value_depth, problem_.value_depth,
                       head_.weight_scales[r], head_.outs + r * scratch_.out_depth);
      }
    }
  }

 private:
  const Item& item() const { return problem_.items[head_.task.item]; }
  T* scores(std::ptrdiff_t r) const { return head_.scores + r * scratch_.tile; }
  std::ptrdiff_t num_outs() const { return head_.task.rows * scratch_.out_depth; }
  RowSource source_of(const TensorView& view) const {
    return {view, head_.task.item, head_.task.kv_head, item().key_begin};
  }
  bool scaled_values() const { return reads_int8<T>(call_.value, problem_.value_depth); }

  // Calls work(r, row) for all rows.
  template <class Work>
  void for_rows(const Work& work) const {
    for (std::ptrdiff_t r = 0; r < head_.task.rows; ++r) work(r, row_of(problem_, head_.task, r));
  }

  template <class Stored>
  Weighing<T, Stored> weighing(Rows<Stored> values, KeyRange keys, T* sums,
                               const LinePrefetch& prefetch) const {
    return {head_.task.rows,
            keys.size(),
            head_.scores + (keys.begin - tile_.begin),
            scratch_.tile,
            values,
            scratch_.value_vectors,
            sums,
            scratch_.out_depth,
            prefetch};
  }

  // `rows` are those of the first piece: where they are in place, those of the others are, too, and
  // are weighed with them. Returns the number of pieces that were.
  template <class Stored>
  int weigh_first(const RowSource& source, const PieceGroup& group, Rows<Stored> rows) const {
    const auto stored = [&](KeyRange keys) {
      return reinterpret_cast<const Stored*>(source.row(keys.begin));
    };
    const auto& [keys, prefetch] = group.pieces[0];
    Weighing<T, Stored> joined = weighing(rows, keys, head_.range_outs, prefetch);
    ValueRun<Stored> further[PieceGroup::max_pieces - 1];
    joined.further = further;
    for (int i = 1; rows.data == stored(keys) && i < group.count; ++i) {
      const PieceGroup::Piece& piece = group.pieces[i];
      further[joined.num_further++] = {stored(piece.keys), piece.keys.size(), piece.prefetch};
    }
    weigh(joined);
    return 1 + static_cast<int>(joined.num_further);
  }

  void multiply_scales_of(const TensorView& view, std::ptrdiff_t columns, const T* row_scales) {
    if (!reads_int8<T>(view, columns)) return;
    multiply_scales(*view.scales, head_.task.item, head_.task.kv_head, item().key_begin, tile_,
                    head_.task.rows, row_scales, head_.scores, scratch_.tile);
  }

  // Whether the weights are all small; then the mask says so, and the values are not read.
  bool all_dropped() const {
    const DroppedBlocks<T> dropped(problem_, call_.rule);
    if (!dropped) return false;
    for (std::ptrdiff_t r = 0; r < head_.task.rows; ++r) {
      const T limit = dropped.limit(head_.maxima[r]);
      const auto small = [&](T score) { return score <= limit; };
      if (!std::all_of(scores(r), scores(r) + tile_.size(), small)) return false;
    }
    for_rows([&](std::ptrdiff_t, Row row) {
      dropped.drop(problem_.block_mask.row(head_.task.item, row.head, row.query), tile_.begin);
    });
    return true;
  }

  // Multiplies the weights by the scales of values of int8, but those of hidden keys, which may be
  // NaN, and rounds them if those of all rows can be.
  void scale_weights() {
    if constexpr (sizeof(T) == sizeof(float)) {
      if (!scaled_values()) return;
      multiply_scales_of(call_.value, problem_.value_depth, nullptr);
      const std::ptrdiff_t keys = tile_.size(), vectors = padded<T>(keys);
      head_.rounded_weights = scratch_.int8_values;
      for (std::ptrdiff_t r = 0; r < head_.task.rows; ++r) {
        const T* const copy = head_.score_copy + r * scratch_.tile;
        for (std::ptrdiff_t key = 0; head_.partial && key < keys; ++key)
          if (copy[key] == minus_infinity<T>) scores(r)[key] = 0;
        std::fill(scores(r) + keys, scores(r) + vectors, T{0});
        head_.rounded_weights =
            head_.rounded_weights &&
            round_to_int16(scores(r), vectors, head_.int16_weights + r * scratch_.tile,
                           head_.weight_scales[r]);
      }
      if (head_.rounded_weights) {
        std::fill_n(head_.int_sums, head_.task.rows * problem_.value_depth, 0);
      }
    }
  }

  const ForwardCall<T>& call_;
  const Problem& problem_;
  KeyRange tile_;
  const DecodeScratch<T>& scratch_;
  DecodeHead<T>& head_;
};

}  // namespace heedful
