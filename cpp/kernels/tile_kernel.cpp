#include "kernels/tile_kernel.hpp"

#include <algorithm>
#include <utility>

#include "kernels/micro_kernel.hpp"
#include "simd/packet.hpp"

namespace heedful {
namespace {

// Of the eight tiles, up to 2 × 3 accumulators, one of A and one of B.
constexpr int of_a = 6, of_b = 7;
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

template <int C, class Element, class Tiles>
void dot(Tiles& tiles) {
  if constexpr (sizeof(Element) == 2) {
    tiles.template dot_bfloat16<C, of_a, of_b>();
  } else if constexpr (std::is_signed_v<Element>) {
    tiles.template dot_int8<C, of_a, of_b>();
  } else {
    tiles.template dot_uint8_int8<C, of_a, of_b>();
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

// RowTiles × Columns tiles of C, of `rows` rows each.
template <int RowTiles, int Columns, class Tiles, class Element>
void block(Tiles& tiles, const TileProductOf<Element>& p, std::ptrdiff_t first_row,
           std::ptrdiff_t rows, StoredRows& stored) {
  constexpr int count = RowTiles * Columns;
  const std::ptrdiff_t columns = p.lanes / Columns;
  const std::ptrdiff_t c_stride = p.lanes * static_cast<std::ptrdiff_t>(sizeof(float));
  const std::ptrdiff_t a_stride = p.a_row * static_cast<std::ptrdiff_t>(sizeof(Element));
  auto* const c = p.c + first_row * p.lanes;
  const auto place = [&](int i) {
    return c + i / Columns * rows * p.lanes + i % Columns * columns;
  };
  each<count>([&](auto i) {
    if (p.accumulate) {
      tiles.template load<i()>(place(i()), c_stride);
    } else {
      tiles.template zero<i()>();
    }
  });
  const Element* a = p.a + first_row * p.a_row;
  const std::uint32_t* b = p.b;
  // A comes from L2, and its rows do not follow one another
  const std::ptrdiff_t next_row = first_row + RowTiles * rows;
  const std::ptrdiff_t next_rows = std::min(RowTiles * rows, p.rows - next_row);
  for (std::ptrdiff_t k = 0; k < p.blocks; ++k) {
    for (std::ptrdiff_t row = 0; row < next_rows; ++row) {
      simd::prefetch_near(a + (RowTiles * rows + row) * p.a_row);
    }
    each<count>([&](auto i) {
      // the second row of tiles goes backwards: it begins with the tile of B that is there
      constexpr int row = i() / Columns, step = i() % Columns;
      constexpr int column = row % 2 == 0 ? step : Columns - 1 - step;
      if constexpr (step == 0) tiles.template load<of_a>(a + row * rows * p.a_row, a_stride);
      if constexpr (step != 0 || row == 0)
        tiles.template load<of_b>(b + column * columns, c_stride);
      dot<row * Columns + column, Element>(tiles);
    });
    a += row_bytes / static_cast<std::ptrdiff_t>(sizeof(Element));
    b += row_bytes / 4 * p.lanes;
    if constexpr (TileProductOf<Element>::is_float) {
      if (k == 0 && stored.rows > 0) stored.finish(p);
      if (p.side) p.side->next();
    }
  }
  each<count>([&](auto i) { tiles.template store<i()>(place(i()), c_stride); });
  if constexpr (TileProductOf<Element>::is_float) {
    if (p.blocks == 0 && stored.rows > 0) stored.finish(p);
    if (!p.accumulate) stored = {c, RowTiles * rows};
  }
  for (int step = 0; p.prefetch && step < 2 * RowTiles; ++step) p.prefetch->next();
}

template <int Columns, class Tiles>
void configure(Tiles& tiles, int lanes, std::ptrdiff_t rows) {
  const std::ptrdiff_t column_bytes = lanes / Columns * 4;
  simd::TileConfig config;
  for (int tile = 0; tile < of_a; ++tile) config.set(tile, rows, column_bytes);
  config.set(of_a, rows, row_bytes);
  config.set(of_b, row_bytes / 4, column_bytes);
  tiles.configure(config);
}

template <int Columns, class Tiles, class Element>
void blocks(Tiles& tiles, const TileProductOf<Element>& p) {
  std::ptrdiff_t row = 0;
  StoredRows stored;
  if (p.rows >= tile_rows) configure<Columns>(tiles, p.lanes, tile_rows);
  for (; row + 2 * tile_rows <= p.rows; row += 2 * tile_rows) {
    block<2, Columns>(tiles, p, row, tile_rows, stored);
  }
  if (row + tile_rows <= p.rows) {
    block<1, Columns>(tiles, p, row, tile_rows, stored);
    row += tile_rows;
  }
  if (row < p.rows) {
    configure<Columns>(tiles, p.lanes, p.rows - row);
    block<1, Columns>(tiles, p, row, p.rows - row, stored);
  }
  if constexpr (TileProductOf<Element>::is_float) {
    if (stored.rows > 0) stored.finish(p);
  }
}

}  // namespace

template <class Tiles, class Element>
void multiply(Tiles& tiles, const TileProductOf<Element>& product) {
  static_assert(max_vectors * simd::lanes<float> <= 3 * 16);
  // tiles of equal widths: 24 lanes are 2 × 12
  switch ((product.lanes + 15) / 16) {
    case 1:
      return blocks<1>(tiles, product);
    case 2:
      return blocks<2>(tiles, product);
    default:
      return blocks<3>(tiles, product);
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
