// Mask and bias of a tile before its scores are computed: values to add, bits of hidden keys, and
// the remaining keys.
#include <cstring>
#include <limits>
#include <vector>

#include "attention/problem/minus_infinity.hpp"
#include "attention/scores/mask.hpp"
#include "check.hpp"
#include "example.hpp"

namespace heedful {
namespace {

constexpr Layout layouts[] = {Layout::plain, Layout::spread, Layout::columns_out, Layout::reversed};
constexpr OwnAxes owns[] = {{true, true, true, true},    {false, true, true, true},
                            {true, false, true, true},   {true, true, false, true},
                            {true, true, true, false},   {true, false, false, true},
                            {false, false, false, true}, {false, false, true, false}};

// The bias, or −∞ where mask or bias hide the key.
template <class T>
T value_of(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t query,
           std::ptrdiff_t key) {
  if (problem.mask && element(problem.mask, item, head, query, key) == 0) return minus_infinity<T>;
  return problem.bias ? static_cast<T>(element(problem.bias, item, head, query, key)) : T{0};
}

// The value of the tile for a key of a lane.
template <class T>
T value_in_tile(const MaskTile<T>& tile, int lanes, std::ptrdiff_t key, int lane) {
  const std::ptrdiff_t at = key - tile.keys.begin, bits = simd::bits<T>;
  if (tile.values) return tile.values[at];
  return tile.hidden && (tile.hidden[at / bits * lanes + lane] >> at % bits & 1) != 0
             ? minus_infinity<T>
             : T{0};
}

// Whether the tile agrees with the definition for every key and every lane. Biases that differ
// between lanes are not included yet.
template <class T>
bool matches_the_definition(const MaskTile<T>& tile, const Problem& problem, std::ptrdiff_t item,
                            const Panel<T>& panel, KeyRange keys) {
  bool any_hidden_key = false, any_visible_key = false;
  for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key) {
    for (int lane = 0; lane < panel.lanes(); ++lane) {
      const T all = value_of<T>(problem, item, panel.head[lane], panel.query[lane], key);
      any_visible_key |= all != minus_infinity<T>;
      if (key < tile.keys.begin || key >= tile.keys.end) {
        if (all != minus_infinity<T>) return false;
        continue;
      }
      Problem masked = problem;
      if (tile.bias) masked.bias = {};
      const T expected = value_of<T>(masked, item, panel.head[lane], panel.query[lane], key);
      any_hidden_key |= expected == minus_infinity<T>;
      if (value_in_tile(tile, panel.lanes(), key, lane) != expected) return false;
    }
  }
  return tile.keys.empty() == !any_visible_key &&
         (tile.keys.empty() || tile.any_hidden == any_hidden_key);
}

template <class T>
MaskTile<T> tile_of(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                    KeyRange keys, std::vector<T>& buffer) {
  buffer.assign(static_cast<std::size_t>(mask_tile_size<T>(keys.size())), T(-77));
  return mask_tile(problem, item, panel, keys, buffer.data());
}

template <class T>
void tiles_are_those_of_the_definition() {
  std::vector<T> buffer;
  for (const OwnAxes& own : owns) {
    for (const Layout layout : layouts) {
      for (const int restrictions : {1, 2, 3}) {  // a mask, a bias, both
        Example example({2, 6, 2, 17, 141, 1, 1}, element_type<T>);
        if (restrictions & 1) example.add_mask(own, layout);
        if (restrictions & 2) {
          example.add_bias(restrictions == 3 ? ElementType::float16 : ElementType::float64, own,
                           layout);
        }
        for (const int first : {0, 5, 30}) {  // within one head, and over two
          Panel<T> panel;
          fill_panel(panel, example.problem, example.items[1], 1, first,
                     std::min(20, Panel<T>::max_lanes));
          for (const KeyRange keys :
               {KeyRange{0, 141}, KeyRange{3, 70}, KeyRange{64, 128}, KeyRange{9, 10}}) {
            const MaskTile<T> tile = tile_of(example.problem, 1, panel, keys, buffer);
            check(matches_the_definition(tile, example.problem, 1, panel, keys),
                  "values are biases, −∞ where mask or bias hides; bits are the mask");
          }
        }
      }
    }
  }
}

template <class T>
void without_mask_and_bias_all_keys_remain() {
  Example example({}, element_type<T>);
  Panel<T> panel;
  fill_panel(panel, example.problem, example.items[0], 0, 0, 3);
  const MaskTile<T> tile = mask_tile<T>(example.problem, 0, panel, {2, 9}, nullptr);
  check(!tile.changes() && !tile.any_hidden && tile.keys.begin == 2 && tile.keys.end == 9,
        "all keys, as they are");
}

// A mask (keys) that is the same for every row.
template <class T>
struct Padded {
  Example example{{1, 1, 1, 9, 20, 1, 1}, element_type<T>};
  Panel<T> panel;
  std::vector<T> buffer;

  Padded() {
    example.add_mask({false, false, false, true});
    fill_panel(panel, example.problem, example.items[0], 0, 0, std::min(9, Panel<T>::max_lanes));
  }
  void set_visible(KeyRange keys) {
    for (std::ptrdiff_t key = 0; key < 20; ++key) {
      example.mask.set(0, 0, 0, key, key >= keys.begin && key < keys.end ? 1 : 0);
    }
  }
  MaskTile<T> tile(KeyRange keys) { return tile_of(example.problem, 0, panel, keys, buffer); }
};

template <class T>
void padding_is_trimmed_away() {
  Padded<T> padded;
  padded.set_visible({5, 11});
  MaskTile<T> tile = padded.tile({0, 20});
  check(tile.keys.begin == 5 && tile.keys.end == 11, "hidden keys at both ends are left out");
  check(!tile.any_hidden && !tile.changes(), "and then there is nothing to add");
  padded.example.mask.set(0, 0, 0, 7, 0);
  tile = padded.tile({0, 20});
  check(tile.keys.begin == 5 && tile.keys.end == 11 && tile.any_hidden && tile.values,
        "a gap hides keys");
  check(tile.values && tile.values[2] == minus_infinity<T> && tile.values[1] == 0,
        "values begin at the first remaining key");
  padded.set_visible({0, 20});
  tile = padded.tile({3, 20});
  check(tile.keys.begin == 3 && tile.keys.end == 20 && !tile.changes(),
        "a mask that hides no key adds nothing");
}

template <class T>
void a_fully_hidden_tile_is_empty() {
  Padded<T> padded;
  padded.set_visible({0, 4});
  check(padded.tile({4, 20}).keys.empty(), "the same for every row");
  Example example({1, 1, 1, 9, 20, 1, 1}, element_type<T>);
  example.add_mask();
  for (std::ptrdiff_t row = 0; row < 9; ++row) {
    for (std::ptrdiff_t key = 0; key < 20; ++key) example.mask.set(0, 0, row, key, key < 4 ? 1 : 0);
  }
  check(tile_of(example.problem, 0, padded.panel, {4, 20}, padded.buffer).keys.empty(),
        "row by row");
  example.mask.set(0, 0, padded.panel.count - 1, 13, 1);
  check(!tile_of(example.problem, 0, padded.panel, {4, 20}, padded.buffer).keys.empty(),
        "one row that sees one key keeps the tile");
}

template <class T>
void a_tile_hidden_by_mask_and_bias_together_is_empty() {
  Example example({1, 1, 1, 9, 80, 1, 1}, element_type<T>);
  example.add_mask();
  example.add_bias(element_type<T>);
  for (std::ptrdiff_t row = 0; row < 9; ++row) {
    for (std::ptrdiff_t key = 0; key < 80; ++key) {
      const bool masked = (row + key) % 2 == 0;
      example.mask.set(0, 0, row, key, masked ? 0 : 1);
      example.bias.set(0, 0, row, key, masked ? 1 : minus_infinity<double>);
    }
  }
  Panel<T> panel;
  std::vector<T> buffer;
  const int count = std::min(9, Panel<T>::max_lanes);
  fill_panel(panel, example.problem, example.items[0], 0, 0, count);
  check(tile_of(example.problem, 0, panel, {0, 80}, buffer).keys.empty(),
        "mask and bias hide half of the keys each");
  example.bias.set(0, 0, count - 1, count == 9 ? 77 : 78, 1);
  check(!tile_of(example.problem, 0, panel, {0, 80}, buffer).keys.empty(),
        "and one key is visible");
}

template <class T>
void rows_are_those_of_the_definition() {
  for (const OwnAxes& own : owns) {
    for (const int restrictions : {1, 2, 3}) {
      Example example({2, 6, 2, 17, 141, 1, 1}, element_type<T>);
      if (restrictions & 1) example.add_mask(own, Layout::reversed);
      if (restrictions & 2) example.add_bias(ElementType::bfloat16, own, Layout::spread);
      for (const KeyRange keys :
           {KeyRange{0, 141}, KeyRange{3, 70}, KeyRange{9, 10}, KeyRange{10, 11}}) {
        for (std::ptrdiff_t query = 0; query < 17; ++query) {
          std::vector<T> values(static_cast<std::size_t>(keys.size() + 1), T(-77));
          bool any_hidden_key = false;
          const bool any_visible_key =
              mask_row(example.problem, 1, 4, query, keys, values.data(), any_hidden_key);
          bool right = values.back() == T(-77), expected_hidden = false, expected_visible = false;
          for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key) {
            const T expected = value_of<T>(example.problem, 1, 4, query, key);
            right &= values[static_cast<std::size_t>(key - keys.begin)] == expected;
            (expected == minus_infinity<T> ? expected_hidden : expected_visible) = true;
          }
          check(right && any_hidden_key == expected_hidden && any_visible_key == expected_visible,
                "a row of values, and whether any key is hidden and any visible");
        }
      }
    }
  }
}

template <class T>
void everything() {
  tiles_are_those_of_the_definition<T>();
  without_mask_and_bias_all_keys_remain<T>();
  padding_is_trimmed_away<T>();
  a_fully_hidden_tile_is_empty<T>();
  a_tile_hidden_by_mask_and_bias_together_is_empty<T>();
  rows_are_those_of_the_definition<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
