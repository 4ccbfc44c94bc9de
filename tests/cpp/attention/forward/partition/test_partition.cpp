// Tasks of the forward pass: every row is combined with every visible key exactly once, few rows
// are decoded, and heads whose rows alternate in memory are decoded together.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "attention/forward/partition/partition.hpp"
#include "check.hpp"

namespace heedful {
namespace {

Problem problem_of(const std::vector<Item>& items, std::ptrdiff_t kv_heads = 2) {
  Problem problem;
  problem.num_items = static_cast<std::ptrdiff_t>(items.size());
  problem.items = items.data();
  problem.num_heads = 3 * kv_heads;
  problem.num_kv_heads = kv_heads;
  problem.depth = problem.value_depth = 48;
  return problem;
}

// Counts how often each row of each item and key/value head is combined with each key.
template <class T>
void every_row_and_key_is_computed_once(const std::vector<Item>& items, bool heads_alternate,
                                        std::ptrdiff_t kv_heads = 2) {
  const Problem problem = problem_of(items, kv_heads);
  const ForwardPartition<T> partition(problem, heads_alternate, 2);
  std::vector<std::vector<int>> met;
  for (const Item& item : items) {
    for (std::ptrdiff_t head = 0; head < kv_heads; ++head) {
      met.emplace_back(static_cast<std::size_t>(3 * item.queries * item.keys));
    }
  }
  bool first_split_right = true;
  for (std::ptrdiff_t index = 0; index < partition.tasks(); ++index) {
    const RowTask task = partition.task(index);
    const std::ptrdiff_t keys = items[static_cast<std::size_t>(task.item)].keys;
    for (std::ptrdiff_t head = task.kv_head; head < task.kv_head + task.kv_heads; ++head) {
      auto& counts = met[static_cast<std::size_t>(kv_heads * task.item + head)];
      for (std::ptrdiff_t row = task.first_row; row < task.first_row + task.rows; ++row) {
        for (std::ptrdiff_t key = task.keys.begin; key < task.keys.end; ++key) {
          ++counts[static_cast<std::size_t>(row * keys + key)];
        }
      }
    }
    first_split_right &= (task.key_split == 0) == (task.keys.begin == 0);
  }
  bool once = true;
  for (const auto& counts : met) {
    for (const int count : counts) once &= count == 1;
  }
  check(once, "every row and key once");
  check(first_split_right, "the first split has the first keys");
}

template <class T>
void few_rows_are_decoded() {
  std::vector<Item> items{{0, 1, 0, 2049, 2048}, {1, 97, 2049, 11, 0}, {98, 0, 2060, 5, 0}};
  Problem problem = problem_of(items);
  const ForwardPartition<T> partition(problem, false, 2);
  check(partition[0].path == Path::decode && partition[0].key_splits > 1, "one query, many keys");
  check(partition[1].path == Path::prefill && partition[1].key_splits == 1,
        "many queries, few keys");
  check(partition[2].tasks() == 0, "no queries, no tasks");
  problem.score_kind = ScoreKind::additive;
  check(choose_path<T>(problem, items[0]) == Path::prefill,
        "additive scores are computed in panels");
}

// One query of `kv_heads` heads without groups, against `keys` keys.
Problem decoding(const std::vector<Item>& items, std::ptrdiff_t kv_heads) {
  Problem problem = problem_of(items, kv_heads);
  problem.num_heads = kv_heads;
  return problem;
}

template <class T>
void alternating_heads_are_decoded_together() {
  const std::vector<Item> items{{0, 1, 0, 8192, 8191}, {1, 100, 8192, 100, 0}};
  const Problem problem = decoding(items, 8);
  const ForwardPartition<T> apart(problem, false, 2), together(problem, true, 2);
  check(apart[0].head_blocks == 8 && apart.task(0).kv_heads == 1,
        "a task of each head that is contiguous");
  check(together[0].head_blocks < 8 && together.task(0).kv_heads > 1,
        "heads that alternate together");
  check(together[1].head_blocks == 8, "but not those of many queries");
  check(together[0].key_splits == apart[0].key_splits &&
            together.task(0).keys.end == apart.task(0).keys.end,
        "the keys are split in the same way, so that the bits are the same");
  check(together.decoded_rows() >= together.task(0).kv_heads && apart.decoded_rows() == 1,
        "memory for the rows of all heads of a task");
}

template <class T>
void heads_with_a_block_mask_are_decoded_apart() {
  const std::vector<Item> items{{0, 1, 0, 8192, 8191}};
  Problem problem = decoding(items, 8);
  std::int32_t kinds[1] = {};
  problem.block_mask.kinds.data = reinterpret_cast<char*>(kinds);
  problem.block_mask.block_keys = 64;
  check(ForwardPartition<T>(problem, true, 2)[0].head_blocks == 8,
        "which keys are read depends on the head");
}

template <class T>
void enough_tasks_are_left() {
  for (const std::ptrdiff_t keys : {100, 600, 1100, 2100, 5000}) {
    for (const std::ptrdiff_t kv_heads : {1, 2, 7, 8, 32, 200}) {
      for (const int threads : {1, 2, 5, 16}) {
        const std::vector<Item> items{{0, 1, 0, keys, keys - 1}};
        const Problem problem = decoding(items, kv_heads);
        const ForwardPartition<T> apart(problem, false, threads), together(problem, true, threads);
        check(together.tasks() >= std::min<std::ptrdiff_t>(apart.tasks(), 2 * threads),
              "two for each thread, or one for each head");
        check(together.decoded_rows() <= 64, "the scores of a task fit the cache");
      }
    }
  }
}

template <class T>
void everything() {
  for (const bool heads_alternate : {false, true}) {
    const auto once = [&](const std::vector<Item>& items, std::ptrdiff_t kv_heads = 2) {
      every_row_and_key_is_computed_once<T>(items, heads_alternate, kv_heads);
    };
    once({{0, 1, 0, 2049, 0}, {1, 97, 2049, 11, 0}, {98, 0, 0, 5, 0}});
    once({{0, 61, 0, 1025, 0}});
    once({{0, 353, 0, 331, 0}});  // few tasks: shorter row blocks
    once(std::vector<Item>(17, {0, 5, 0, 7, 0}));
    once(std::vector<Item>(17, {0, 1, 0, 7, 0}), 11);
    once({{0, 1, 0, 2049, 0}, {1, 97, 2049, 11, 0}, {98, 0, 0, 5, 0}}, 13);
  }
  few_rows_are_decoded<T>();
  alternating_heads_are_decoded_together<T>();
  heads_with_a_block_mask_are_decoded_apart<T>();
  enough_tasks_are_left<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
