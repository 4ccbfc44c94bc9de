#include "kernels/tile_kernel.hpp"

#include <algorithm>
#include <utility>

#include "kernels/micro_kernel.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// Of the eight tiles, up to 2 × 2 accumulators, two of A and two of B: as many loads as products.
// (2 × 3 accumulators need 7 loads for 6 products, and took 1.05 to 1.3 times as long.)
constexpr int of_a = 4, of_b = 6;
constexpr std::ptrdiff_t row_bytes = 64;

// Calls visit(integral_constant) for 0, 1, … Count − 1.
template <class Visit, int... Index>
void each(std::integer_sequence<int, Index...>, const Visit& visit) {
  (visit(std::integral_constant<int, Index>()), ...);
}
template <int Count, class Visit>
void each(const Visit& visit) {
  each(std::make_integer_sequence<int, Count>(), visit);
}

// The maximum of each lane.
void raise_maximum(const TileProduct& p, const float* c, std::ptrdiff_t rows) {
  constexpr int width = simd::lanes<float>;
  for (int lane = 0; lane < p.lanes; lane += width, c += width) {
    auto even = simd::load(p.maximum + lane), odd = even;
    std::ptrdiff_t row = 0;
    for (; row + 2 <= rows; row += 2) {
      even = simd::maximum(even, simd::load(c + row * p.lanes));
      odd = simd::maximum(odd, simd::load(c + (row + 1) * p.lanes));
    }
    if (row < rows) even = simd::maximum(even, simd::load(c + row * p.lanes));
    simd::store(p.maximum + lane, simd::maximum(even, odd));
  }
}

// C = factor · C and its maximum, while these rows are in L1.
void scale_rows(const TileProduct& p, float* c, std::ptrdiff_t rows) {
  constexpr int width = simd::lanes<float>;
  const auto factor = simd::broadcast(p.factor);
  for (int lane = 0; lane < p.lanes; lane += width) {
    auto maximum = p.maximum ? simd::load(p.maximum + lane) : factor;
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      float* const at = c + row * p.lanes + lane;
      const auto scaled = simd::multiply(simd::load(at), factor);
      simd::store(at, scaled);
      maximum = simd::maximum(maximum, scaled);
    }
    if (p.maximum) simd::store(p.maximum + lane, maximum);
  }
}

template <int C, int A, int B, class Element, class Tiles>
void dot(Tiles& tiles) {
  if constexpr (sizeof(Element) == 2) {
    tiles.template dot_bfloat16<C, A, B>();
  } else if constexpr (std::is_signed_v<Element>) {
    tiles.template dot_int8<C, A, B>();
  } else {
    tiles.template dot_uint8_int8<C, A, B>();
  }
}

// Rows of C that are stored, but not scaled or compared yet: tiles take a while to arrive in L1.
struct StoredRows {
  float* c = nullptr;
  std::ptrdiff_t rows = 0;

  void finish(const TileProduct& p) {
    if (p.factor != 1) {
      scale_rows(p, c, rows);
    } else if (p.maximum) {
      raise_maximum(p, c, rows);
    }
    rows = 0;
  }
};

// RowTiles × Columns tiles of C, of `rows` rows and `width` columns each.
template <int RowTiles, int Columns, class Tiles, class Element>
void block(Tiles& tiles, const TileProductOf<Element>& p, std::ptrdiff_t first_row,
           std::ptrdiff_t first_column, std::ptrdiff_t rows, std::ptrdiff_t width,
           StoredRows& stored) {
  constexpr int count = RowTiles * Columns;
  const std::ptrdiff_t c_stride = p.lanes * static_cast<std::ptrdiff_t>(sizeof(float));
  const std::ptrdiff_t a_stride = p.a_row * static_cast<std::ptrdiff_t>(sizeof(Element));
  const auto place = [&](int i) {
    return p.c + (first_row + i / Columns * rows) * p.lanes + first_column + i % Columns * width;
  };
  each<count>([&](auto i) {
    if (p.accumulate) {
      tiles.template load<i()>(place(i()), c_stride);
    } else {
      tiles.template zero<i()>();
    }
  });
  const Element* a = p.a + first_row * p.a_row;
  const std::uint32_t* b = p.b + first_column;
  // A comes from L2, and its rows do not follow one another
  const std::ptrdiff_t next_row = first_row + RowTiles * rows;
  const std::ptrdiff_t next_rows =
      first_column == 0 ? std::min(RowTiles * rows, p.rows - next_row) : 0;
  for (std::ptrdiff_t k = 0; k < p.blocks; ++k) {
    for (std::ptrdiff_t row = 0; row < next_rows; ++row) {
      simd::prefetch_near(a + (RowTiles * rows + row) * p.a_row);
    }
    each<count>([&](auto i) {
      constexpr int row = i() / Columns, column = i() % Columns;
      if constexpr (column == 0) {
        tiles.template load<of_a + row>(a + row * rows * p.a_row, a_stride);
      }
      if constexpr (row == 0) tiles.template load<of_b + column>(b + column * width, c_stride);
      dot<i(), of_a + row, of_b + column, Element>(tiles);
    });
    a += row_bytes / static_cast<std::ptrdiff_t>(sizeof(Element));
    b += row_bytes / 4 * p.lanes;
    if constexpr (TileProductOf<Element>::is_float) {
      if (k == 0 && stored.rows > 0) stored.finish(p);
      if (p.side) p.side->next();
    }
  }
  each<count>([&](auto i) { tiles.template store<i()>(place(i()), c_stride); });
}

// The rows from `first_row` on: RowTiles tiles of `rows` rows.
template <int RowTiles, class Tiles, class Element>
void row_tiles(Tiles& tiles, const TileProductOf<Element>& p, std::ptrdiff_t first_row,
               std::ptrdiff_t rows, std::ptrdiff_t width, StoredRows& stored) {
  std::ptrdiff_t column = 0;
  for (; column + 2 * width <= p.lanes; column += 2 * width) {
    block<RowTiles, 2>(tiles, p, first_row, column, rows, width, stored);
  }
  if (column < p.lanes) block<RowTiles, 1>(tiles, p, first_row, column, rows, width, stored);
  if constexpr (TileProductOf<Element>::is_float) {
    if (stored.rows > 0) stored.finish(p);  // without a depth
    if (!p.accumulate) stored = {p.c + first_row * p.lanes, RowTiles * rows};
  }
  for (int step = 0; p.prefetch && step < 2 * RowTiles; ++step) p.prefetch->next();
}

template <class Tiles>
void configure(Tiles& tiles, std::ptrdiff_t rows, std::ptrdiff_t width) {
  simd::TileConfig config;
  for (int tile = 0; tile < of_a; ++tile) config.set(tile, rows, 4 * width);
  for (int tile = of_a; tile < of_b; ++tile) config.set(tile, rows, row_bytes);
  for (int tile = of_b; tile < 8; ++tile) config.set(tile, row_bytes / 4, 4 * width);
  tiles.configure(config);
}

}  // namespace

template <class Tiles, class Element>
void multiply(Tiles& tiles, const TileProductOf<Element>& product) {
  // tiles of equal widths: 24 lanes are 2 × 12
  const std::ptrdiff_t width = product.lanes / ((product.lanes + 15) / 16);
  std::ptrdiff_t row = 0;
  StoredRows stored;
  if (product.rows >= tile_rows) configure(tiles, tile_rows, width);
  for (; row + 2 * tile_rows <= product.rows; row += 2 * tile_rows) {
    row_tiles<2>(tiles, product, row, tile_rows, width, stored);
  }
  if (row + tile_rows <= product.rows) {
    row_tiles<1>(tiles, product, row, tile_rows, width, stored);
    row += tile_rows;
  }
  if (row < product.rows) {
    configure(tiles, product.rows - row, width);
    row_tiles<1>(tiles, product, row, product.rows - row, width, stored);
  }
  if constexpr (TileProductOf<Element>::is_float) {
    if (stored.rows > 0) stored.finish(product);
  }
}

template void multiply(simd::TileModel&, const TileProductOf<std::uint16_t>&);
template void multiply(simd::TileModel&, const TileProductOf<std::int8_t>&);
template void multiply(simd::TileModel&, const TileProductOf<std::uint8_t>&);
#ifdef HEEDFUL_TILES
template void multiply(simd::TileRegisters&, const TileProductOf<std::uint16_t>&);
template void multiply(simd::TileRegisters&, const TileProductOf<std::int8_t>&);
template void multiply(simd::TileRegisters&, const TileProductOf<std::uint8_t>&);
#endif

}  // namespace heedful
