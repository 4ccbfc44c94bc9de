#include "linear/int8_panels.hpp"

#include <algorithm>

#include "arrays/work_area.hpp"
#include "kernels/quantised_row.hpp"
#include "kernels/word_panels.hpp"

namespace heedful {
namespace {

constexpr std::int32_t sign_bit = 128;

bool has_tiles(simd::Int8Way way) {
  return way == simd::Int8Way::tiles || way == simd::Int8Way::tiles_model;
}

// A row in words, and its range.
RowRange quantise_row(const float* x, std::ptrdiff_t depth, simd::Int8Way way, std::ptrdiff_t words,
                      std::byte* to) {
  RowRange range = RowRange::of(x, depth);
  if (way == simd::Int8Way::widened) {
    auto* const q = reinterpret_cast<std::int16_t*>(to);
    quantise(x, depth, range, q);
    std::fill(q + depth, q + 2 * words, std::int16_t{0});
    return range;
  }
  auto* const q = reinterpret_cast<std::uint8_t*>(to);
  quantise(x, depth, range, q);
  std::fill(q + depth, q + 4 * words, std::uint8_t{0});
  if (has_tiles(way)) {
    for (std::ptrdiff_t i = 0; i < depth; ++i) q[i] ^= sign_bit;
    range.zero -= sign_bit;
  }
  return range;
}

void pack_panel(Matrix<const float> x, std::ptrdiff_t depth, simd::Int8Way way,
                const Int8Panels& panels, std::ptrdiff_t index, std::byte* scratch) {
  const std::ptrdiff_t begin = panels.layout.begin(index), lanes = panels.layout.lanes(index);
  const std::ptrdiff_t row_bytes = 4 * panels.words;
  const std::uint16_t* rows[max_vectors * simd::lanes<float>];
  for (std::ptrdiff_t lane = 0; lane < lanes; ++lane) {
    std::byte* const row = scratch + lane * row_bytes;
    RowRange range{};
    if (lane < panels.layout.used(index)) {
      range = quantise_row(x.row(begin + lane), depth, way, panels.words, row);
    } else {
      std::fill_n(row, row_bytes, std::byte{0});
    }
    panels.scales[begin + lane] = range.scale;
    panels.zeros[begin + lane] = range.zero;
    rows[lane] = reinterpret_cast<const std::uint16_t*>(row);
  }
  words_to_panel(rows, lanes, panels.words, panels.data + panels.words * begin);
}

}  // namespace

std::ptrdiff_t words_of(simd::Int8Way way, std::ptrdiff_t depth) {
  if (way == simd::Int8Way::widened) return (depth + 1) / 2;
  // a tile multiplies sixteen words at once
  return has_tiles(way) ? (depth + 63) / 64 * 16 : (depth + 3) / 4;
}

void pack_int8(Matrix<const float> x, std::ptrdiff_t depth, simd::Int8Way way, const Team& team,
               const Int8Panels& panels) {
  WorkArea area(nullptr);
  area.take<std::uint32_t>(max_vectors * simd::lanes<float> * panels.words);
  parallel_for(panels.layout.count, team, area.size(), [&](std::ptrdiff_t panel, Worker& worker) {
    pack_panel(x, depth, way, panels, panel, worker.scratch);
  });
}

}  // namespace heedful
