#include "kernels/int8_kernel.hpp"

#include <algorithm>
#include <utility>

#include "kernels/micro_kernel.hpp"
#include "kernels/tile_kernel.hpp"
#include "simd/integer_dots.hpp"

namespace heedful {
namespace {

constexpr int width = simd::lanes<float>;
constexpr std::ptrdiff_t tile_words = 16;  // of the depth, that tiles multiply at once

struct Vnni {
  static constexpr int temporaries = 0;
  static simd::Words dot(const simd::Words& a, const simd::Words& b, const simd::Words& sum) {
    return simd::dot_uint8_int8(b, a, sum);
  }
};
struct Bytes {
  static constexpr int temporaries = 2;  // ones, and the products before they are added
  static simd::Words dot(const simd::Words& a, const simd::Words& b, const simd::Words& sum) {
    return simd::dot_bytes(b, a, sum);
  }
};
struct Int16 {
  static constexpr int temporaries = 1;  // the product, before it is added
  static simd::Words dot(const simd::Words& a, const simd::Words& b, const simd::Words& sum) {
    return simd::dot_int16(a, b, sum);
  }
};

// Rows of a block, as in micro_kernel.cpp.
template <class Kind, int Vectors>
inline constexpr int max_rows =
    std::min(8, (simd::registers - Vectors - 1 - Kind::temporaries) / Vectors);

template <class Kind, int Rows, int Vectors>
void block(const WordProduct& p, std::ptrdiff_t first_row) {
  const std::byte* a = p.a + first_row * p.a_row;
  const std::uint32_t* b = p.b;
  simd::Words sums[Rows][Vectors];
#pragma GCC unroll 32
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) sums[r][v] = simd::Words{};
  }
#pragma GCC unroll 4
  for (std::ptrdiff_t word = 0; word < p.words; ++word) {
    simd::Words columns[Vectors];
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) columns[v] = simd::load_words(b + v * width);
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r) {
      const simd::Words element = simd::broadcast_word(a + r * p.a_row);
#pragma GCC unroll 32
      for (int v = 0; v < Vectors; ++v) {
        sums[r][v] = Kind::dot(element, columns[v], sums[r][v]);
      }
    }
    a += sizeof(std::uint32_t);
    b += Vectors * width;
  }
  if (p.begins) {
#pragma GCC unroll 32
    for (int r = 0; r < Rows; ++r) {
      const ExtraWord* const end = p.extra + p.begins[first_row + r + 1];
      for (const ExtraWord* extra = p.extra + p.begins[first_row + r]; extra != end; ++extra) {
        const simd::Words element = simd::broadcast_word(&extra->word);
        const std::uint32_t* const columns = p.b + extra->place * Vectors * width;
#pragma GCC unroll 32
        for (int v = 0; v < Vectors; ++v) {
          sums[r][v] = Kind::dot(element, simd::load_words(columns + v * width), sums[r][v]);
        }
      }
    }
  }
  std::int32_t* const c = p.c + first_row * Vectors * width;
#pragma GCC unroll 32
  for (int r = 0; r < Rows; ++r) {
#pragma GCC unroll 32
    for (int v = 0; v < Vectors; ++v) {
      simd::store_words(c + (r * Vectors + v) * width, sums[r][v]);
    }
  }
}

using Block = void (*)(const WordProduct&, std::ptrdiff_t);

template <class Kind, int Vectors, int... Index>
void blocks(const WordProduct& p, std::integer_sequence<int, Index...>) {
  static constexpr Block table[] = {block<Kind, Index + 1, Vectors>...};
  // rows are split evenly, because a block of one row would stall on its loads
  constexpr std::ptrdiff_t max_block_rows = sizeof...(Index);
  const std::ptrdiff_t count = (p.rows + max_block_rows - 1) / max_block_rows;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const std::ptrdiff_t begin = p.rows * i / count;
    const std::ptrdiff_t end = p.rows * (i + 1) / count;
    table[end - begin - 1](p, begin);
  }
}

template <class Kind, int Vectors>
void by_rows(const WordProduct& p) {
  blocks<Kind, Vectors>(p, std::make_integer_sequence<int, max_rows<Kind, Vectors>>());
}

template <class Kind>
void by_vectors(const WordProduct& product) {
  static_assert(max_vectors == 3);
  switch (product.vectors) {
    case 1:
      return by_rows<Kind, 1>(product);
    case 2:
      return by_rows<Kind, 2>(product);
    case 3:
      return by_rows<Kind, 3>(product);
  }
}

template <class Tiles>
void on_tiles(const WordProduct& p) {
  Tiles tiles;
  TileProductOf<std::int8_t> product{};
  product.rows = p.rows;
  product.blocks = p.words / tile_words;
  product.lanes = p.vectors * width;
  product.a = reinterpret_cast<const std::int8_t*>(p.a);
  product.a_row = p.a_row;
  product.b = p.b;
  product.c = p.c;
  multiply(tiles, product);
}

}  // namespace

void multiply(simd::Int8Way way, const WordProduct& product) {
  switch (way) {
    case simd::Int8Way::widened:
      return by_vectors<Int16>(product);
    case simd::Int8Way::bytes:
      if constexpr (simd::compiled_bytes) by_vectors<Bytes>(product);
      return;
    case simd::Int8Way::vnni:
      if constexpr (simd::compiled_vnni) by_vectors<Vnni>(product);
      return;
    case simd::Int8Way::tiles:
#ifdef HEEDFUL_TILES
      on_tiles<simd::TileRegisters>(product);
#endif
      return;
    case simd::Int8Way::tiles_model:
      return on_tiles<simd::TileModel>(product);
  }
}

}  // namespace heedful
