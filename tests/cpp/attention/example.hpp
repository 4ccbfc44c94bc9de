// A small call of attention: sizes, options and random arrays, set up as the bindings do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "attention/problem/problem.hpp"
#include "random_numbers.hpp"
#include "tensor.hpp"

namespace heedful {

// The axes (items, heads, rows, columns) of a mask or a bias that are not broadcast.
struct OwnAxes {
  bool items = true, heads = true, rows = true, columns = true;
};

struct Sizes {
  std::ptrdiff_t items = 2, heads = 4, kv_heads = 2, queries = 7, keys = 11, depth = 5,
                 value_depth = 3;
};

struct Example {
  Sizes sizes;
  Problem problem;
  std::vector<Item> items;
  std::vector<double> slopes, sinks;
  std::vector<std::int32_t> block_kinds;
  std::vector<std::ptrdiff_t> block_offsets;
  std::vector<unsigned char> block_patterns;
  Tensor query, key, value, mask, bias;
  RandomNumbers random;

  // Every item has all rows. `type` is that of the three arrays.
  explicit Example(const Sizes& requested, ElementType type, Layout layout = Layout::plain,
                   std::uint64_t seed = 1)
      : sizes(requested),
        items(static_cast<std::size_t>(requested.items),
              Item{0, requested.queries, 0, requested.keys, 0}),
        query(type, {requested.items, requested.heads, requested.queries, requested.depth}, layout),
        key(type, {requested.items, requested.kv_heads, requested.keys, requested.depth}, layout),
        value(type, {requested.items, requested.kv_heads, requested.keys, requested.value_depth},
              layout),
        random(seed) {
    problem.num_items = sizes.items;
    problem.num_heads = sizes.heads;
    problem.num_kv_heads = sizes.kv_heads;
    problem.depth = sizes.depth;
    problem.value_depth = sizes.value_depth;
    problem.items = items.data();
    problem.scale = 0.7;
    for (Tensor* const tensor : {&query, &key, &value}) {
      tensor->fill([&] { return random.exact(); });
    }
  }
  Example(Example&&) = default;
  Example& operator=(Example&&) = default;

  Item& item(std::ptrdiff_t index) { return items[static_cast<std::size_t>(index)]; }

  Shape shape_of(const OwnAxes& own) const {
    return {own.items ? sizes.items : 1, own.heads ? sizes.heads : 1, own.rows ? sizes.queries : 1,
            own.columns ? sizes.keys : 1};
  }

  // Two of three keys are visible.
  void add_mask(const OwnAxes& own = {}, Layout layout = Layout::plain) {
    mask = Tensor(ElementType::boolean, shape_of(own), layout);
    mask.fill([&] { return random.bits() % 3 == 0 ? 0.0 : 1.0; });
    problem.mask = mask.broadcast_view();
  }

  // Every fifth element is −∞.
  void add_bias(ElementType type, const OwnAxes& own = {}, Layout layout = Layout::plain) {
    bias = Tensor(type, shape_of(own), layout);
    bias.fill([&] {
      return random.bits() % 5 == 0 ? -std::numeric_limits<double>::infinity() : random.exact();
    });
    problem.bias = bias.broadcast_view();
  }

  // Blocks of queries × keys, of which `kept` of six exist, one of them in parts.
  void add_block_mask(std::ptrdiff_t block_queries, std::ptrdiff_t block_keys, OwnAxes own = {},
                      std::uint64_t kept = 3) {
    const std::ptrdiff_t items_of = own.items ? sizes.items : 1;
    const std::ptrdiff_t heads_of = own.heads ? sizes.heads : 1;
    const std::ptrdiff_t rows = (sizes.queries + block_queries - 1) / block_queries;
    const std::ptrdiff_t columns = (sizes.keys + block_keys - 1) / block_keys;
    constexpr std::int32_t patterns = 5;
    for (std::ptrdiff_t i = 0; i < items_of * heads_of * rows * columns; ++i) {
      const std::uint64_t drawn = random.bits() % 6;
      const auto pattern = static_cast<std::int32_t>(random.bits() % patterns);
      block_kinds.push_back(drawn >= kept ? block_kind::empty
                            : drawn == 0  ? block_kind::pattern + pattern
                                          : block_kind::full);
    }
    for (std::ptrdiff_t row = 0; row < patterns * block_queries; ++row) {
      for (std::ptrdiff_t bit = 0; bit < block_keys; ++bit) {
        if (bit % 8 == 0) block_patterns.push_back(0);
        const unsigned visible = random.bits() % 3 == 0 ? 0 : 1;
        block_patterns.back() |= static_cast<unsigned char>(visible << bit % 8);
      }
      // past the last key of a row, where no bit may matter
      for (std::ptrdiff_t bit = block_keys % 8; bit != 0 && bit < 8; ++bit) {
        block_patterns.back() |= static_cast<unsigned char>((random.bits() & 1) << bit);
      }
    }
    constexpr std::ptrdiff_t size = sizeof(std::int32_t);
    const std::ptrdiff_t head_stride = rows * columns * size;
    for (std::ptrdiff_t i = 0; i < sizes.items; ++i) {
      block_offsets.push_back(own.items ? i * heads_of * head_stride : 0);
    }
    problem.block_mask.kinds = {reinterpret_cast<char*>(block_kinds.data()),
                                ElementType::boolean,
                                block_offsets.data(),
                                own.heads ? head_stride : 0,
                                columns * size,
                                size};
    problem.block_mask.patterns = block_patterns.data();
    problem.block_mask.block_queries = block_queries;
    problem.block_mask.block_keys = block_keys;
  }

  void add_slopes() {
    for (std::ptrdiff_t i = 0; i < sizes.items * sizes.heads; ++i) {
      slopes.push_back(random.between(0, 0.3));
    }
    problem.alibi_slopes = slopes.data();
    problem.alibi_item_stride = sizes.heads;
  }

  void add_sinks() {
    for (std::ptrdiff_t head = 0; head < sizes.heads; ++head) {
      sinks.push_back(random.between(-1, 1));
    }
    problem.sink = sinks.data();
  }
};

}  // namespace heedful
