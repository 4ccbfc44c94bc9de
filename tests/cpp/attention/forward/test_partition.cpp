// Tasks of the forward pass: every row is combined with every visible key exactly once, and few
// rows are decoded.
#include <vector>

#include "attention/forward/partition.hpp"
#include "check.hpp"

namespace heedful {
namespace {

Problem problem_of(const std::vector<Item>& items) {
  Problem problem;
  problem.num_items = static_cast<std::ptrdiff_t>(items.size());
  problem.items = items.data();
  problem.num_heads = 6;
  problem.num_kv_heads = 2;
  problem.depth = problem.value_depth = 48;
  return problem;
}

// Counts how often each row of each item and key/value head is combined with each key.
template <class T>
void every_row_and_key_is_computed_once(const std::vector<Item>& items) {
  const Problem problem = problem_of(items);
  const ForwardPartition<T> partition(problem);
  std::vector<std::vector<int>> met;
  for (const Item& item : items) {
    for (std::ptrdiff_t head = 0; head < 2; ++head) {
      met.emplace_back(static_cast<std::size_t>(3 * item.queries * item.keys));
    }
  }
  bool first_split_right = true;
  for (std::ptrdiff_t index = 0; index < partition.tasks(); ++index) {
    const RowTask task = partition.task(index);
    const std::ptrdiff_t keys = items[static_cast<std::size_t>(task.item)].keys;
    auto& counts = met[static_cast<std::size_t>(2 * task.item + task.kv_head)];
    for (std::ptrdiff_t row = task.first_row; row < task.first_row + task.rows; ++row) {
      for (std::ptrdiff_t key = task.keys.begin; key < task.keys.end; ++key) {
        ++counts[static_cast<std::size_t>(row * keys + key)];
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
  const ForwardPartition<T> partition(problem);
  check(partition[0].path == Path::decode && partition[0].key_splits > 1, "one query, many keys");
  check(partition[1].path == Path::prefill && partition[1].key_splits == 1,
        "many queries, few keys");
  check(partition[2].tasks() == 0, "no queries, no tasks");
  problem.score_kind = ScoreKind::additive;
  check(choose_path<T>(problem, items[0]) == Path::prefill,
        "additive scores are computed in panels");
}

template <class T>
void everything() {
  every_row_and_key_is_computed_once<T>(
      {{0, 1, 0, 2049, 0}, {1, 97, 2049, 11, 0}, {98, 0, 0, 5, 0}});
  every_row_and_key_is_computed_once<T>({{0, 61, 0, 1025, 0}});
  every_row_and_key_is_computed_once<T>({{0, 353, 0, 331, 0}});  // few tasks: shorter row blocks
  every_row_and_key_is_computed_once<T>(std::vector<Item>(17, {0, 5, 0, 7, 0}));
  few_rows_are_decoded<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
