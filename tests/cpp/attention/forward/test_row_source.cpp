// Pieces of a tile on pages: every key once, no piece and no prefetched rows over the end of a
// page, and nothing past the rows that exist.
#include <cstdint>
#include <vector>

#include "attention/forward/row_source.hpp"
#include "check.hpp"
#include "paged_tensor.hpp"

namespace heedful {
namespace {

void pieces_end_with_their_pages() {
  for (const std::ptrdiff_t page_rows : {1, 3, 16, 24, 40, 100}) {
    const Tensor whole(ElementType::float32, {2, 2, 131, 4});
    const PagedTensor keys(whole, page_rows), values(whole, page_rows);
    const RowSource source{keys.view(), 1, 1, 2}, after{values.view(), 1, 1, 2};
    for (const KeyRange next : {KeyRange{5, 129}, KeyRange{100, 107}, KeyRange{0, 0}}) {
      const KeyRange tile{7, 129};
      std::vector<int> met(131, 0);
      bool in_order = true, on_one_page = true, exist = true, on_next_page = true;
      std::ptrdiff_t last = tile.begin;
      for_ranges(source, tile, after, next, 24, [&](KeyRange range, const NextRows& then) {
        in_order &= range.begin == last;
        last = range.end;
        std::ptrdiff_t end = range.begin;
        for_pieces(source, range, then, [&](KeyRange piece, const LinePrefetch& prefetch) {
          in_order &= piece.begin == end && piece.end > piece.begin;
          end = piece.end;
          for (std::ptrdiff_t key = piece.begin; key < piece.end; ++key) {
            ++met[static_cast<std::size_t>(key)];
            const std::ptrdiff_t row = key - piece.begin;
            on_one_page &=
                source.row(key) == source.row(piece.begin) + row * keys.view().row_stride;
            // of the prefetched rows, each is one that exists: of this tile, or of the next
            const char* const fetched = prefetch.rows + row * prefetch.stride;
            bool found = false;
            for (std::ptrdiff_t other = tile.begin; other < tile.end; ++other) {
              found |= fetched == source.row(other);
            }
            for (std::ptrdiff_t other = next.begin; other < next.end; ++other) {
              found |= fetched == after.row(other);
            }
            exist &= found;
          }
        });
        on_next_page &= end == range.end;
      });
      bool once = true;
      for (std::ptrdiff_t key = 0; key < 131; ++key) {
        once &= met[static_cast<std::size_t>(key)] == (key >= tile.begin && key < tile.end ? 1 : 0);
      }
      check(once && in_order && last == tile.end && on_next_page, "every key once, in order");
      check(on_one_page, "the rows of a piece are one stride apart");
      check(exist, "rows are prefetched that are read next");
    }
  }
}

void rows_without_pages_are_not_divided() {
  const Tensor tensor(ElementType::float32, {1, 1, 131, 4});
  const RowSource source{tensor.view(), 0, 0, 0};
  int ranges = 0, pieces = 0;
  for_ranges(source, {0, 128}, source, {0, 128}, 24, [&](KeyRange range, const NextRows& then) {
    ++ranges;
    for_pieces(source, range, then, [&](KeyRange piece, const LinePrefetch& prefetch) {
      ++pieces;
      const std::ptrdiff_t key = range.begin == 0 ? 24 : 0;
      check(prefetch.rows == source.row(key) && piece.size() == range.size(),
            "the row at the distance is prefetched, at the end that of the next tile");
    });
  });
  check(ranges == 2 && pieces == 2, "two ranges of a tile, whole");
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::pieces_end_with_their_pages();
  heedful::rows_without_pages_are_not_divided();
  return heedful::summary();
}
