// Runs of keys whose blocks some row sees, against every key on its own.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "attention/problem/block_rows.hpp"
#include "attention/problem/key_tiles.hpp"
#include "check.hpp"
#include "example.hpp"

namespace heedful {
namespace {

struct Masked {
  std::ptrdiff_t block_keys;
  std::vector<std::vector<std::int32_t>> kinds;  // of each row

  std::int32_t kind(std::ptrdiff_t key) const {
    std::int32_t common = -1;
    for (const auto& row : kinds) {
      const std::int32_t kind =
          std::min(row[static_cast<std::size_t>(key / block_keys)], block_kind::pattern);
      common = common < 0 || common == kind ? kind : block_kind::pattern;
    }
    return common;
  }
};

Masked drawn(RandomNumbers& random, std::ptrdiff_t block_keys, std::ptrdiff_t rows,
             std::ptrdiff_t keys) {
  Masked masked{block_keys, {}};
  const std::ptrdiff_t blocks = (keys + block_keys - 1) / block_keys;
  for (std::ptrdiff_t row = 0; row < rows; ++row) {
    std::vector<std::int32_t> kinds;
    for (std::ptrdiff_t i = 0; i < blocks; ++i) {
      const std::uint64_t number = random.bits() % 8;
      kinds.push_back(number < 5   ? block_kind::empty
                      : number < 7 ? block_kind::full
                                   : block_kind::pattern + 1);
    }
    masked.kinds.push_back(kinds);
  }
  return masked;
}

void check_rows(const Masked& masked, KeyRange keys, bool separate) {
  Example example({}, ElementType::float32);
  example.add_block_mask(1, masked.block_keys);
  example.problem.min_weight = separate ? 0.5 : 0;
  BlockRows rows(example.problem, static_cast<std::ptrdiff_t>(masked.kinds.size()));
  for (const auto& row : masked.kinds) rows.add(row.data());

  std::vector<bool> visible(static_cast<std::size_t>(keys.end), false);
  std::ptrdiff_t before = keys.begin - 1;
  rows.for_runs(keys, [&](KeyRange run) {
    check(!run.empty() && run.begin >= keys.begin && run.end <= keys.end, "runs lie within");
    check(separate ? run.begin >= before : run.begin > before, "runs are apart and in order");
    check(!separate || (run.end - 1) / masked.block_keys == run.begin / masked.block_keys,
          "each block has a run of its own");
    before = run.end;
    for (std::ptrdiff_t key = run.begin; key < run.end; ++key) {
      visible[static_cast<std::size_t>(key)] = true;
    }
  });
  bool expected_partial = false, any = false;
  KeyRange expected{0, 0};
  for (std::ptrdiff_t key = keys.begin; key < keys.end; ++key) {
    const bool seen = masked.kind(key) != block_kind::empty;
    check(visible[static_cast<std::size_t>(key)] == seen, "a run has the keys that some row sees");
    if (!seen) continue;
    if (!any) expected.begin = key;
    any = true;
    expected.end = key + 1;
  }
  for (std::ptrdiff_t key = expected.begin; key < expected.end; ++key) {
    expected_partial |= masked.kind(key) != block_kind::full;
  }
  bool partial = false;
  const KeyRange trimmed = rows.trimmed(keys, partial);
  check(trimmed.empty() == !any, "nothing is left where all blocks are empty");
  if (any) {
    check(trimmed.begin == expected.begin && trimmed.end == expected.end, "trimmed to blocks");
    check(partial == expected_partial, "partial where a block is not full");
  }

  const KeyTiles tiles(keys, 8, rows);
  std::ptrdiff_t count = 0;
  for (std::ptrdiff_t t = 0; t < tiles.count(); ++t) {
    check(!tiles[t].empty() && tiles[t].size() <= KeyTiles::max_keys(8), "tiles fit the buffers");
    count += tiles[t].size();
  }
  check(count == std::count(visible.begin(), visible.end(), true), "tiles have the runs' keys");
}

void runs_and_tiles_have_the_visible_keys() {
  RandomNumbers random(5);
  for (const std::ptrdiff_t block_keys : {1, 3, 8, 40}) {
    for (const std::ptrdiff_t rows : {1, 2, 5}) {
      for (const KeyRange keys : {KeyRange{0, 97}, {5, 64}, {39, 41}, {10, 10}}) {
        for (const bool separate : {false, true}) {
          check_rows(drawn(random, block_keys, rows, 100), keys, separate);
        }
      }
    }
  }
}

void without_a_mask_every_key_is_visible() {
  bool partial = true;
  const KeyRange trimmed = BlockRows().trimmed({3, 9}, partial);
  check(trimmed.begin == 3 && trimmed.end == 9 && !partial, "nothing is trimmed");
}

}  // namespace
}  // namespace heedful

int main() {
  using namespace heedful;
  runs_and_tiles_have_the_visible_keys();
  without_a_mask_every_key_is_visible();
  return summary();
}
