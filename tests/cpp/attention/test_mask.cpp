// What mask and bias say about a tile: the numbers to add, −∞ where a key is hidden, and which keys
// are left.
#include <cstring>
#include <limits>
#include <vector>

#include "attention/mask.hpp"
#include "check.hpp"
#include "example.hpp"

namespace heedful {
namespace {

constexpr Layout layouts[] = {Layout::plain, Layout::spread, Layout::columns_out, Layout::reversed};
constexpr Own owns[] = {{true, true, true, true},    {false, true, true, true},
                        {true, false, true, true},   {true, true, false, true},
                        {true, true, true, false},   {true, false, false, true},
                        {false, false, false, true}, {false, false, true, false}};

template <class T>
constexpr T hidden = -std::numeric_limits<T>::infinity();

// bias, or −∞ where mask or bias hide the key.
template <class T>
T value_of(const Problem& problem, std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t query,
           std::ptrdiff_t key) {
  if (problem.mask && number(problem.mask, item, head, query, key) == 0) return hidden<T>;
  return problem.bias ? static_cast<T>(number(problem.bias, item, head, query, key)) : T{0};
}

// Says the same as the definition about every key of the tile and every lane.
template <class T>
bool tells_the_truth(const MaskTile<T>& tile, const Problem& problem, std::ptrdiff_t item,
                     const Panel<T>& panel, KeyRange keys) {
  bool hides = false, shows = false;
  for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key) {
    for (int lane = 0; lane < panel.lanes(); ++lane) {
      const T expected = value_of<T>(problem, item, panel.head[lane], panel.query[lane], key);
      shows |= expected != hidden<T>;
      if (key < tile.keys.begin || key >= tile.keys.end) {
        if (expected != hidden<T>) return false;
        continue;
      }
      hides |= expected == hidden<T>;
      const std::ptrdiff_t at = key - tile.keys.begin;
      const T actual =
          !tile.values ? T{0} : tile.values[tile.uniform ? at : at * panel.lanes() + lane];
      if (actual != expected) return false;
    }
  }
  return tile.hides == hides && tile.keys.empty() == !shows;
}

template <class T>
MaskTile<T> tile_of(const Problem& problem, std::ptrdiff_t item, const Panel<T>& panel,
                    KeyRange keys, std::vector<T>& buffer) {
  buffer.assign(static_cast<std::size_t>(mask_tile_size<T>(keys.size())), T(-77));
  return mask_tile(problem, item, panel, keys, buffer.data());
}

template <class T>
void tiles_say_what_mask_and_bias_say() {
  std::vector<T> buffer;
  for (const Own& own : owns) {
    for (const Layout layout : layouts) {
      for (const int given : {1, 2, 3}) {  // a mask, a bias, both
        Example example({2, 6, 2, 17, 141, 1, 1}, element_type<T>);
        if (given & 1) example.add_mask(own, layout);
        if (given & 2) {
          example.add_bias(given == 3 ? ElementType::float16 : ElementType::float64, own, layout);
        }
        for (const int first : {0, 5, 30}) {  // within one head, and over two
          Panel<T> panel;
          fill(panel, example.problem, example.items[1], 1, first,
               std::min(20, Panel<T>::max_lanes));
          for (const KeyRange keys :
               {KeyRange{0, 141}, KeyRange{3, 70}, KeyRange{64, 128}, KeyRange{9, 10}}) {
            const MaskTile<T> tile = tile_of(example.problem, 1, panel, keys, buffer);
            check(tells_the_truth(tile, example.problem, 1, panel, keys),
                  "values are biases, −∞ where mask or bias hide");
          }
        }
      }
    }
  }
}

template <class T>
void without_mask_and_bias_there_is_nothing_to_add() {
  Example example({}, element_type<T>);
  Panel<T> panel;
  fill(panel, example.problem, example.items[0], 0, 0, 3);
  const MaskTile<T> tile = mask_tile<T>(example.problem, 0, panel, {2, 9}, nullptr);
  check(!tile.values && !tile.hides && tile.keys.begin == 2 && tile.keys.end == 9,
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
    fill(panel, example.problem, example.items[0], 0, 0, std::min(9, Panel<T>::max_lanes));
  }
  void show(KeyRange keys) {
    for (std::ptrdiff_t key = 0; key < 20; ++key) {
      example.mask.set(0, 0, 0, key, key >= keys.begin && key < keys.end ? 1 : 0);
    }
  }
  MaskTile<T> tile(KeyRange keys) { return tile_of(example.problem, 0, panel, keys, buffer); }
};

template <class T>
void padding_is_trimmed_away() {
  Padded<T> padded;
  padded.show({5, 11});
  MaskTile<T> tile = padded.tile({0, 20});
  check(tile.uniform && tile.keys.begin == 5 && tile.keys.end == 11,
        "hidden keys at both ends are left out");
  check(!tile.hides && !tile.values, "and then nothing is to be added");
  padded.example.mask.set(0, 0, 0, 7, 0);
  tile = padded.tile({0, 20});
  check(tile.keys.begin == 5 && tile.keys.end == 11 && tile.hides && tile.values, "a gap hides");
  check(tile.values && tile.values[2] == hidden<T> && tile.values[1] == 0,
        "values begin at the first key left");
  padded.show({0, 20});
  tile = padded.tile({3, 20});
  check(tile.keys.begin == 3 && tile.keys.end == 20 && !tile.values,
        "a mask that shows all says nothing");
}

template <class T>
void a_tile_that_is_hidden_as_a_whole_is_empty() {
  Padded<T> padded;
  padded.show({0, 4});
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
void a_bias_of_minus_infinity_is_a_mask() {
  Example masked({2, 6, 2, 17, 141, 1, 1}, element_type<T>);
  masked.add_mask();
  Example biased({2, 6, 2, 17, 141, 1, 1}, element_type<T>);
  biased.add_bias(ElementType::float16);
  masked.mask.for_each([&](auto item, auto head, auto row, auto key) {
    biased.bias.set(item, head, row, key,
                    masked.mask.get(item, head, row, key) != 0 ? 0 : hidden<double>);
  });
  Panel<T> panel;
  const int count = std::min(20, Panel<T>::max_lanes);
  fill(panel, masked.problem, masked.items[1], 1, 0, count);
  std::vector<T> by_mask, by_bias;
  tile_of(masked.problem, 1, panel, {0, 141}, by_mask);
  tile_of(biased.problem, 1, panel, {0, 141}, by_bias);
  const auto size = static_cast<std::size_t>(141 * panel.lanes());
  check(std::equal(by_mask.begin(), by_mask.begin() + static_cast<std::ptrdiff_t>(size),
                   by_bias.begin()),
        "the same values");
}

template <class T>
void rows_say_what_tiles_say() {
  for (const Own& own : owns) {
    for (const int given : {1, 2, 3}) {
      Example example({2, 6, 2, 17, 141, 1, 1}, element_type<T>);
      if (given & 1) example.add_mask(own, Layout::reversed);
      if (given & 2) example.add_bias(ElementType::bfloat16, own, Layout::spread);
      for (const KeyRange keys :
           {KeyRange{0, 141}, KeyRange{3, 70}, KeyRange{9, 10}, KeyRange{10, 11}}) {
        for (std::ptrdiff_t query = 0; query < 17; ++query) {
          std::vector<T> values(static_cast<std::size_t>(keys.size() + 1), T(-77));
          bool hides = false;
          const bool shows = mask_row(example.problem, 1, 4, query, keys, values.data(), hides);
          bool right = values.back() == T(-77), any_hidden = false, any_shown = false;
          for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key) {
            const T expected = value_of<T>(example.problem, 1, 4, query, key);
            right &= values[static_cast<std::size_t>(key - keys.begin)] == expected;
            (expected == hidden<T> ? any_hidden : any_shown) = true;
          }
          check(right && hides == any_hidden && shows == any_shown,
                "a row of values, and whether it hides and shows");
        }
      }
    }
  }
}

template <class T>
void everything() {
  tiles_say_what_mask_and_bias_say<T>();
  without_mask_and_bias_there_is_nothing_to_add<T>();
  padding_is_trimmed_away<T>();
  a_tile_that_is_hidden_as_a_whole_is_empty<T>();
  a_bias_of_minus_infinity_is_a_mask<T>();
  rows_say_what_tiles_say<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
