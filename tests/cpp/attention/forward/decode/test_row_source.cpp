// The order in which the rows of a tile are read: every key of every head once, the heads in turn,
// no piece over the end of a page, and each prefetches rows that are read soon.
#include <cstdint>
#include <vector>

#include "attention/forward/decode/row_source.hpp"
#include "check.hpp"
#include "paged_tensor.hpp"

namespace heedful {
namespace {

// 12 kB of a head are 48 rows, and its turns are 16 rows.
constexpr std::ptrdiff_t num_heads = 9, first = 3, rows = 310, columns = 64;

struct Tensors {
  Tensor key{ElementType::float32, {1, num_heads, rows, columns}, Layout::heads_inside};
  Tensor value{ElementType::float32, {1, num_heads, rows, columns}, Layout::heads_inside};
  RowSource keys{key.view(), 0, 1, first};
  RowSource values{value.view(), 0, 1, first};
};

struct Piece {
  std::ptrdiff_t head;
  KeyRange keys;
  LinePrefetch prefetch;
};

// The pieces of a tile of `heads` heads of `source`, after which `after` is read.
std::vector<Piece> pieces_of(const RowSource& source, std::ptrdiff_t heads, bool rereads,
                             KeyRange tile, const RowSource& after, KeyRange next) {
  const TileReader reader(source, heads, columns, rereads);
  std::vector<Piece> pieces;
  reader.ranges(tile, after, next, [&](KeyRange range, const NextRows& then) {
    reader.pieces(range, then, [&](std::ptrdiff_t head, KeyRange keys, LinePrefetch prefetch) {
      pieces.push_back({head, keys, prefetch});
    });
  });
  return pieces;
}
std::vector<Piece> pieces_of(const Tensors& tensors, std::ptrdiff_t heads, bool rereads,
                             KeyRange tile, KeyRange next) {
  return pieces_of(tensors.keys, heads, rereads, tile, tensors.values, next);
}

// Whether each head reads each key of the tile once, in order.
bool every_key_once(const std::vector<Piece>& pieces, std::ptrdiff_t heads, KeyRange tile) {
  std::vector<std::ptrdiff_t> ends(static_cast<std::size_t>(heads), tile.begin);
  bool in_order = true;
  for (const Piece& piece : pieces) {
    std::ptrdiff_t& end = ends[static_cast<std::size_t>(piece.head)];
    in_order &= piece.keys.begin == end && !piece.keys.empty();
    end = piece.keys.end;
  }
  for (const std::ptrdiff_t end : ends) in_order &= end == tile.end;
  return in_order;
}

void every_key_of_every_head_is_read_once() {
  const Tensors tensors;
  for (const std::ptrdiff_t heads : {1, 2, 8}) {
    for (const bool rereads : {false, true}) {
      for (const KeyRange tile : {KeyRange{0, 1}, KeyRange{2, 31}, KeyRange{7, 300}}) {
        for (const KeyRange next : {tile, KeyRange{5, 9}, KeyRange{0, 0}}) {
          check(every_key_once(pieces_of(tensors, heads, rereads, tile, next), heads, tile),
                "the keys of the tile once each");
        }
      }
    }
  }
}

// Otherwise sums over a range, and with them the bits, would depend on the layout.
void the_ranges_do_not_depend_on_the_heads() {
  const Tensors tensors;
  const auto bounds = [&](std::ptrdiff_t heads, bool rereads) {
    std::vector<std::ptrdiff_t> found;
    const TileReader reader(tensors.keys, heads, columns, rereads);
    reader.ranges({7, 300}, tensors.values, {5, 25}, [&](KeyRange range, const NextRows&) {
      found.insert(found.end(), {range.begin, range.end});
    });
    return found;
  };
  check(bounds(1, false) == bounds(8, true), "one head and eight have the same ranges");
  check(bounds(1, true) == std::vector<std::ptrdiff_t>{7, 252, 252, 272, 272, 300},
        "all keys, the last 12 kB of a head, and what is past the next tile");
}

void heads_take_turns() {
  const Tensors tensors;
  const std::vector<Piece> pieces = pieces_of(tensors, 8, false, {7, 300}, {11, 300});
  bool in_turn = true, short_pieces = true, prefetched = true;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    in_turn &= pieces[i].head == static_cast<std::ptrdiff_t>(i % 8);
    short_pieces &= pieces[i].keys.size() <= 16;
    if (i + 3 >= pieces.size()) continue;
    const Piece& soon = pieces[i + 3];  // 12 kB later
    prefetched &= pieces[i].prefetch.rows == tensors.keys.of_head(soon.head).row(soon.keys.begin);
  }
  check(in_turn, "all heads before the next keys");
  check(short_pieces, "4 kB of each");
  check(prefetched, "each piece prefetches what is read 12 kB later");
  check(pieces.back().prefetch.rows == tensors.values.of_head(2).row(11),
        "the last ones prefetch the values");
}

void two_heads_prefetch_the_keys_after() {
  const Tensors tensors;
  const std::vector<Piece> pieces = pieces_of(tensors, 2, false, {7, 300}, {11, 300});
  bool prefetched = true;
  for (std::size_t i = 0; i + 2 < pieces.size(); ++i) {
    const Piece& soon = pieces[i + 2];
    prefetched &= pieces[i].prefetch.rows == tensors.keys.of_head(soon.head).row(soon.keys.begin);
  }
  check(prefetched, "no further than those of the same head");
  check(pieces.back().prefetch.rows == tensors.values.of_head(1).row(11), "then the values");
}

void one_head_is_read_in_order() {
  const Tensors tensors;
  for (const bool rereads : {false, true}) {
    const std::vector<Piece> pieces = pieces_of(tensors, 1, rereads, {7, 300}, {11, 300});
    bool ahead = true;
    for (const Piece& piece : pieces) {
      const bool last = piece.keys.begin >= 252;
      const char* const expected = last ? tensors.values.row(11 + piece.keys.begin - 252)
                                        : tensors.keys.row(piece.keys.begin + 48);
      ahead &= piece.prefetch.rows == expected;
    }
    check(ahead, "keys 12 kB ahead are prefetched, and at the end values");
    check((pieces.size() == 2) == !rereads, "in short pieces if they are read more than once");
  }
}

void at_the_end_nothing_else_is_prefetched() {
  const Tensors tensors;
  for (const std::ptrdiff_t heads : {1, 8}) {
    const std::vector<Piece> pieces = pieces_of(tensors, heads, false, {7, 300}, {0, 0});
    const char* const address = pieces.back().prefetch.rows;
    check(address >= tensors.keys.row(7) && address < tensors.keys.of_head(heads - 1).row(300),
          "only rows of the tile");
  }
}

// Whether the row is one of a head of `source`.
bool holds(const RowSource& source, KeyRange keys, const char* row) {
  for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key) {
    if (row == source.row(key)) return true;
  }
  return false;
}

void pieces_end_with_their_pages() {
  const Tensor whole(ElementType::float32, {2, 2, 131, columns});
  const KeyRange tile{7, 129};
  for (const std::ptrdiff_t page_rows : {1, 3, 16, 24, 40, 100}) {
    for (const std::ptrdiff_t heads : {1, 2}) {
      const PagedTensor keys(whole, page_rows, heads == 2), values(whole, page_rows, heads == 2);
      const RowSource source{keys.view(), 1, 2 - heads, 2}, after{values.view(), 1, 2 - heads, 2};
      for (const KeyRange next : {KeyRange{5, 129}, KeyRange{100, 107}, KeyRange{0, 0}}) {
        const auto pieces = pieces_of(source, heads, false, tile, after, next);
        bool on_one_page = true, exist = true;
        for (const Piece& piece : pieces) {
          const RowSource own = source.of_head(piece.head);
          for (std::ptrdiff_t row = 0; row < piece.keys.size(); ++row) {
            on_one_page &= own.row(piece.keys.begin + row) ==
                           own.row(piece.keys.begin) + row * keys.view().row_stride;
            if (heads > 1 && row > 0) continue;  // those may be past the end of a page
            const char* const fetched = piece.prefetch.rows + row * piece.prefetch.stride;
            bool found = false;
            for (std::ptrdiff_t head = 0; head < heads; ++head) {
              found |= holds(source.of_head(head), tile, fetched) ||
                       holds(after.of_head(head), next, fetched);
            }
            exist &= found;
          }
        }
        check(every_key_once(pieces, heads, tile), "every key once, in order");
        check(on_one_page, "the rows of a piece are one stride apart");
        check(exist, "rows are prefetched that are read next");
      }
    }
  }
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  every_key_of_every_head_is_read_once();
  the_ranges_do_not_depend_on_the_heads();
  heads_take_turns();
  two_heads_prefetch_the_keys_after();
  one_head_is_read_in_order();
  at_the_end_nothing_else_is_prefetched();
  pieces_end_with_their_pages();
  return summary();
}
