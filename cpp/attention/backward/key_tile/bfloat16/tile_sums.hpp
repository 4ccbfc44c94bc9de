// A sum over queries for each key of a key tile, on tiles of bfloat16: dvalue or dkey.
//   sums[key][column] += Σ_query coefficients[key][query] · rows[query][column]
// Query panels are gathered into a batch first: each product of a batch loads and stores all sums,
// which takes as long as multiplying some sixty queries.
//
//   coefficients (keys, batch)            A of the product, written by the caller
//   words (batch / 2, columns)            B: rows of the caller's array, two to a word
//   sums (keys, columns)                  in float, over many panels in double (see partition.hpp)
// Words and sums are in blocks of columns, as many as the tile kernel takes at once.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "arrays/rows.hpp"
#include "arrays/tensor_view.hpp"
#include "arrays/work_area.hpp"
#include "attention/problem/minus_infinity.hpp"
#include "attention/problem/problem.hpp"
#include "kernels/column_blocks.hpp"
#include "kernels/micro_kernel.hpp"
#include "kernels/nonfinite.hpp"
#include "kernels/tile_kernel.hpp"
#include "kernels/tile_panels.hpp"
#include "simd/bfloat16_bits.hpp"

namespace heedful {

class TileSums {
 public:
  // Queries of a batch: four panels of three vectors of 16.
  static constexpr std::ptrdiff_t batch = 192;

  // `keys`: capacity, a multiple of tile_depth.
  TileSums(std::ptrdiff_t columns, std::ptrdiff_t keys, bool long_sums, WorkArea& area)
      : columns_(columns),
        keys_(keys),
        padded_(padded<float>(columns)),
        blocks_(padded_, simd::lanes<float>, max_vectors),
        coefficients_(area.take<std::uint16_t>(keys * batch)),
        words_(area.take<std::uint32_t>(batch / 2 * padded_)),
        sums_(area.take<float>(keys * padded_)),
        totals_(long_sums ? area.take<double>(keys * padded_) : nullptr) {}

  void clear() const { std::fill_n(sums_, keys_ * padded_, 0.0f); }

  // That of a key of the tile and a query of the batch.
  std::uint16_t* coefficients(std::ptrdiff_t key, std::ptrdiff_t query) const {
    return coefficients_ + key * batch + query;
  }

  // Rows of a panel as the queries from `query`, with zeros in the padding lanes.
  void load_rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head,
                 std::ptrdiff_t first, std::ptrdiff_t count, std::ptrdiff_t lanes,
                 std::ptrdiff_t query) const {
    for (std::ptrdiff_t block = 0; block < blocks_.count(); ++block) {
      const std::ptrdiff_t begin = blocks_.begin(block), stride = lanes_of(block);
      const std::ptrdiff_t columns = std::min(stride, columns_ - begin);
      std::uint32_t* const to = words(block, query);
      const std::ptrdiff_t pairs = (count + 1) / 2;
      pair_tile_rows(view, item, head, first, count, begin, columns, to, stride);
      for (std::ptrdiff_t pair = 0; columns < stride && pair < pairs; ++pair) {
        std::fill(to + pair * stride + columns, to + (pair + 1) * stride, 0u);
      }
      std::fill(to + pairs * stride, to + lanes / 2 * stride, 0u);
    }
  }
  // Whether the rows loaded last are finite.
  bool finite(std::ptrdiff_t lanes, std::ptrdiff_t query) const {
    bool finite = true;
    for (std::ptrdiff_t block = 0; block < blocks_.count(); ++block) {
      finite &= all_finite(words(block, query), lanes / 2 * lanes_of(block));
    }
    return finite;
  }

  // Takes NaN and ∞ out of the rows loaded last, because hidden keys have coefficient 0, and adds
  // their products with visible ones.   scores (keys of the tile, lanes)
  void add_nonfinite(std::ptrdiff_t count, std::ptrdiff_t lanes, std::ptrdiff_t query,
                     KeyRange keys, const float* scores) const {
    for (std::ptrdiff_t block = 0; block < blocks_.count(); ++block) {
      for (std::ptrdiff_t at = 0; at < count * lanes_of(block); ++at) {
        const std::ptrdiff_t lane = at / lanes_of(block), column = at % lanes_of(block);
        char* const half =
            reinterpret_cast<char*>(words(block, query) + lane / 2 * lanes_of(block) + column) +
            lane % 2 * 2;
        std::uint16_t bits;
        std::memcpy(&bits, half, sizeof(bits));
        if (simd::is_finite(bits)) continue;
        std::memset(half, 0, sizeof(bits));
        for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key) {
          if (scores[key * lanes + lane] == minus_infinity<float>) continue;
          sums(block, key)[column] +=
              simd::float_of(*coefficients(key, query + lane)) * simd::float_of(bits);
        }
      }
    }
  }

  // Adds the products of the first `queries` of the batch, for keys whose ends are multiples of 16.
  template <class Tiles>
  void add_batch(Tiles& tiles, KeyRange keys, std::ptrdiff_t queries) const {
    const std::ptrdiff_t filled = tile_depth * tile_blocks(queries);
    for (std::ptrdiff_t key = keys.begin; key < keys.end && filled > queries; ++key) {
      std::fill(coefficients(key, queries), coefficients(key, filled), std::uint16_t{0});
    }
    for (std::ptrdiff_t block = 0; block < blocks_.count(); ++block) {
      const std::ptrdiff_t lanes = lanes_of(block);
      std::fill(words(block, queries), words(block, filled), 0u);
      TileProduct product{};
      product.rows = keys.size();
      product.blocks = filled / tile_depth;
      product.lanes = static_cast<int>(lanes);
      product.a = coefficients(keys.begin, 0);
      product.a_row = batch;
      product.b = words(block, 0);
      product.c = sums(block, keys.begin);
      product.accumulate = true;
      multiply(tiles, product);
    }
  }

  // totals (+)= sums, then sums = 0.
  void flush_level(bool first) const {
    for (std::ptrdiff_t i = 0; i < keys_ * padded_; ++i) {
      totals_[i] = (first ? 0.0 : totals_[i]) + static_cast<double>(sums_[i]);
    }
    clear();
  }

  // Adds factor · sums to rows of an array of floats, which are still zeros for the `first` chunk.
  // False if one is not finite.
  bool add_to(const TensorView& to, std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t row,
              std::ptrdiff_t rows, double factor, bool first, bool has_totals) const {
    return has_totals ? add_rows(totals_, to, item, head, row, rows, factor, first)
                      : add_rows(sums_, to, item, head, row, rows, factor, first);
  }

 private:
  std::ptrdiff_t lanes_of(std::ptrdiff_t block) const {
    return blocks_.vectors(block) * simd::lanes<float>;
  }
  std::uint32_t* words(std::ptrdiff_t block, std::ptrdiff_t query) const {
    return words_ + batch / 2 * blocks_.begin(block) + query / 2 * lanes_of(block);
  }
  float* sums(std::ptrdiff_t block, std::ptrdiff_t key) const {
    return sums_ + keys_ * blocks_.begin(block) + key * lanes_of(block);
  }

  template <class Sum>
  bool add_rows(const Sum* sums, const TensorView& to, std::ptrdiff_t item, std::ptrdiff_t head,
                std::ptrdiff_t first_row, std::ptrdiff_t rows, double factor, bool first) const {
    const Sum scale = static_cast<Sum>(factor);
    bool finite = true;
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      auto* const out = reinterpret_cast<float*>(to.row(item, head, first_row + row));
      for (std::ptrdiff_t block = 0; block < blocks_.count(); ++block) {
        const std::ptrdiff_t begin = blocks_.begin(block);
        const Sum* const from = sums + keys_ * begin + row * lanes_of(block);
        const std::ptrdiff_t columns = std::min(lanes_of(block), columns_ - begin);
        for (std::ptrdiff_t column = 0; column < columns; ++column) {
          const float sum = static_cast<float>(from[column] * scale);
          float& result = out[begin + column];
          result = first ? sum : result + sum;  // possibly memory that was never touched
        }
      }
      finite &= all_finite(Rows<float>{out, columns_}, 1, columns_);
    }
    return finite;
  }

  std::ptrdiff_t columns_, keys_, padded_;
  ColumnBlocks blocks_;
  std::uint16_t* coefficients_;
  std::uint32_t* words_;
  float* sums_;
  double* totals_;  // of the levels summed before; null without long sums
};

}  // namespace heedful
