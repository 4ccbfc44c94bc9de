// The keys or values of a task of few rows, as input of the kernels: in memory order, prefetched
// before their use, and as stored if the kernels widen them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "arrays/prefetch.hpp"
#include "arrays/rows.hpp"
#include "arrays/tensor_view.hpp"
#include "attention/problem/problem.hpp"
#include "attention/scores/key_scales.hpp"
#include "simd/half.hpp"
#include "simd/int8.hpp"

namespace heedful {

// The rows of one head of a tensor that a task reads, in memory.
struct RowSource {
  const TensorView& view;
  std::ptrdiff_t item, head, first;

  RowSource of_head(std::ptrdiff_t offset) const { return {view, item, head + offset, first}; }
  const char* row(std::ptrdiff_t key) const { return view.row(item, head, first + key); }
  Rows<std::uint16_t> halves(std::ptrdiff_t key) const {
    return {reinterpret_cast<const std::uint16_t*>(row(key)), view.row_stride / 2};
  }
  Rows<std::int8_t> bytes(std::ptrdiff_t key) const {
    return {reinterpret_cast<const std::int8_t*>(row(key)), view.row_stride};
  }
  LinePrefetch prefetch_from(std::ptrdiff_t key) const { return {row(key), view.row_stride}; }
  std::ptrdiff_t run(std::ptrdiff_t key, std::ptrdiff_t count) const {
    return view.run(first + key, count);
  }
  // As T: in place, or in `buffer` (keys, padded columns).
  template <class T>
  Rows<T> load(KeyRange keys, std::ptrdiff_t columns, T* buffer) const {
    return load_rows(view, item, head, first + keys.begin, keys.size(), columns,
                     InPlace::full_vector, buffer);
  }
};

// What is read after a range of keys: rows from `key` on, before `end`.
struct NextRows {
  RowSource source;  // of the first head
  std::ptrdiff_t key, end;
};

// Pieces of one head that follow one another, on different pages.
struct PieceGroup {
  static constexpr int max_pieces = 8;
  struct Piece {
    KeyRange keys;
    LinePrefetch prefetch;
  };

  void add(KeyRange keys, const LinePrefetch& prefetch) { pieces[count++] = {keys, prefetch}; }
  std::ptrdiff_t size() const {
    return count == 0 ? 0 : pieces[count - 1].keys.end - pieces[0].keys.begin;
  }

  Piece pieces[max_pieces];
  int count = 0;
};

// The order in which a tile is read, and what is prefetched meanwhile. One head is read row by row.
// The rows of several heads alternate in memory: a few keys of all heads in turn are read from one
// place of it. Head by head, every row would begin at another place, and the cache line that it
// shares with the row of the next head, unless rows begin with a line, would be evicted before that
// is read.
class TileReader {
 public:
  // `source`: of the first of `heads` heads, whose rows have `columns`. `rereads`: whether the
  // kernel reads a row more than once, then from L1.
  TileReader(const RowSource& source, std::ptrdiff_t heads, std::ptrdiff_t columns, bool rereads)
      : source_(source), heads_(heads) {
    const std::ptrdiff_t row =
        std::max<std::ptrdiff_t>(columns * element_size(source.view.type), 1);
    distance_ = prefetch_distance / std::max<std::ptrdiff_t>(row, 256);
    piece_keys_ = heads > 1 ? std::max<std::ptrdiff_t>(turn_bytes / row, 16)
                  : rereads ? std::max<std::ptrdiff_t>(distance_, 1)
                            : all_keys;
    turns_ahead_ = std::clamp<std::ptrdiff_t>(prefetch_distance / (piece_keys_ * row), 1, heads);
  }

  // Calls work(keys, next) for consecutive ranges of a tile, the same for any number of heads:
  // after the first one, rows of the same tensor are read, after the last ones those that are read
  // next: [next.begin, next.end) of `after`.
  template <class Work>
  void ranges(KeyRange tile, const RowSource& after, KeyRange next, const Work& work) const {
    const std::ptrdiff_t middle = std::max(tile.begin, tile.end - distance_);
    if (middle > tile.begin) {
      work(KeyRange{tile.begin, middle},
           NextRows{source_, heads_ == 1 ? tile.begin + rows_ahead() : middle, tile.end});
    }
    const std::ptrdiff_t end =
        std::min(tile.end, middle + std::max<std::ptrdiff_t>(next.size(), 0));
    if (end > middle) work(KeyRange{middle, end}, NextRows{after, next.begin, next.end});
    if (tile.end > end) {  // nothing left to prefetch: rows that are in the cache
      work(KeyRange{end, tile.end}, NextRows{source_, end, tile.end});
    }
  }

  // Calls work(head, keys, prefetch) for the pieces of a range whose rows are one stride apart, as
  // are those that are prefetched: the range itself, unless it lies on pages, is read more than
  // once, or heads take turns.
  template <class Work>
  void pieces(KeyRange range, const NextRows& next, const Work& work) const {
    if (heads_ > 1) return turns(range, next, work);
    for (KeyRange piece{range.begin, range.begin}; piece.end < range.end;) {
      const std::ptrdiff_t keys = std::min(range.end - piece.end, piece_keys_);
      piece = {piece.end, piece.end + source_.run(piece.end, keys)};
      const std::ptrdiff_t key = next.key + piece.begin - range.begin;
      if (key >= next.end) {  // nothing left to prefetch
        work(0, piece, source_.prefetch_from(piece.begin));
        continue;
      }
      piece.end = piece.begin + next.source.run(key, std::min(piece.size(), next.end - key));
      work(0, piece, next.source.prefetch_from(key));
    }
  }

  // The pieces of one head, as many together as are read more than once: of small pages several.
  template <class Work>
  void groups(KeyRange range, const NextRows& next, const Work& work) const {
    PieceGroup group;
    pieces(range, next, [&](std::ptrdiff_t, KeyRange piece, const LinePrefetch& prefetch) {
      group.add(piece, prefetch);
      if (group.count < PieceGroup::max_pieces && group.size() < piece_keys_) return;
      work(group);
      group.count = 0;
    });
    if (group.count > 0) work(group);
  }

 private:
  // In bytes: some hundred cache lines, of which memory delivers one every few nanoseconds.
  static constexpr std::ptrdiff_t prefetch_distance = 12288;
  // Of one head. Half as much is no faster from memory, and up to a third slower from L2.
  static constexpr std::ptrdiff_t turn_bytes = 4096;
  static constexpr std::ptrdiff_t all_keys = 1 << 20;  // more than a tile has

  // The number of rows between a row and the one that is prefetched then: with small pages whole
  // ones, so that pieces are not shorter than pages.
  std::ptrdiff_t rows_ahead() const {
    const std::ptrdiff_t page = source_.view.pages ? source_.view.pages->rows : 1;
    return page <= 32 ? (distance_ + page - 1) / page * page : distance_;
  }

  template <class Work>
  void turns(KeyRange range, const NextRows& next, const Work& work) const {
    for (KeyRange piece{range.begin, range.begin}; piece.end < range.end;) {
      const std::ptrdiff_t keys = std::min(range.end - piece.end, piece_keys_);
      piece = {piece.end, piece.end + source_.run(piece.end, keys)};
      const NextRows then = piece.end < range.end ? NextRows{source_, piece.end, range.end}
                            : next.key < next.end ? next
                                                  : NextRows{source_, piece.begin, range.end};
      for (std::ptrdiff_t head = 0; head < heads_; ++head) {
        const std::ptrdiff_t ahead = head + turns_ahead_;
        work(head, piece,
             ahead < heads_ ? source_.of_head(ahead).prefetch_from(piece.begin)
                            : then.source.of_head(ahead - heads_).prefetch_from(then.key));
      }
    }
  }

  RowSource source_;
  std::ptrdiff_t heads_;
  std::ptrdiff_t distance_;  // in rows, of one head
  std::ptrdiff_t piece_keys_, turns_ahead_;
};

// Calls work(rows) with the rows of a piece of one tensor, as stored if the kernels widen them in
// registers: that reads a half or a quarter of the bytes and writes none. `buffer` as for load().
template <class T, class Work>
void with_stored_rows(const RowSource& source, KeyRange keys, std::ptrdiff_t columns, T* buffer,
                      const Work& work) {
  const TensorView& view = source.view;
  const auto stored = [&](auto element) {
    using Stored = decltype(element);
    work(Rows<Stored>{reinterpret_cast<const Stored*>(source.row(keys.begin)),
                      view.row_stride / static_cast<std::ptrdiff_t>(sizeof(Stored))});
  };
  if constexpr (sizeof(T) == sizeof(float)) {
    const bool in_place = view.column_stride == 2 && view.row_stride % 2 == 0;
    if (in_place && columns >= simd::lanes<float>) {
      if (view.type == ElementType::bfloat16) return stored(simd::Bfloat16{});
      if constexpr (simd::widens_float16) {
        if (view.type == ElementType::float16) return stored(simd::Float16{});
      }
    }
    if (reads_int8<T>(view, columns)) return stored(simd::Int8{});
  }
  work(source.load(keys, columns, buffer));
}

}  // namespace heedful
