// States of rows whose keys are split: each has its own memory, and one task is the last to finish.
#include <algorithm>
#include <initializer_list>
#include <vector>

#include "attention/softmax/key_split.hpp"
#include "check.hpp"

namespace heedful {
namespace {

constexpr std::ptrdiff_t splits[] = {3, 1, 2}, depth = 5;
const std::vector<Item> items{{0, 2, 0, 97, 0}, {2, 7, 0, 11, 0}, {9, 1, 0, 97, 0}};

Problem problem_of_items() {
  Problem problem;
  problem.num_items = 3;
  problem.items = items.data();
  problem.num_heads = 6;
  problem.num_kv_heads = 2;
  problem.value_depth = depth;
  return problem;
}

template <class T, class Visit>
void for_states(const Problem& problem, KeySplits<T>& states, const Visit& visit) {
  for (const std::ptrdiff_t item : {0, 2}) {
    for (std::ptrdiff_t head = 0; head < 2; ++head) {
      const std::ptrdiff_t rows = problem.group() * items[static_cast<std::size_t>(item)].queries;
      const RowTask task{item, head, 0, rows, {0, 0}, 0};
      for (std::ptrdiff_t split = 0; split < splits[item]; ++split) {
        visit(task, states.at(task, split), static_cast<T>(100 * item + 10 * head + split));
      }
    }
  }
}

template <class T>
void each_split_has_its_own_memory() {
  const Problem problem = problem_of_items();
  KeySplits<T> states(problem, [](std::ptrdiff_t item) { return splits[item]; });
  for_states(problem, states, [](const RowTask& task, const KeySplit<T>& split, T number) {
    std::fill_n(split.out, task.rows * depth, number);
    std::fill_n(split.maximum, task.rows, number);
    std::fill_n(split.sum, task.rows, number);
  });
  bool kept = true;
  for_states(problem, states, [&](const RowTask& task, const KeySplit<T>& split, T number) {
    const auto right = [&](const T* from, std::ptrdiff_t count) {
      return std::all_of(from, from + count, [&](T found) { return found == number; });
    };
    kept &= right(split.out, task.rows * depth);
    kept &= right(split.maximum, task.rows) && right(split.sum, task.rows);
  });
  check(kept, "no task overwrites the state of another");
}

void the_last_task_is_reported() {
  const Problem problem = problem_of_items();
  KeySplits<float> states(problem, [](std::ptrdiff_t item) { return splits[item]; });
  for (const std::ptrdiff_t head : {0, 1}) {
    const RowTask task{0, head, 0, 6, {0, 0}, 0};
    check(
        !states.finish_task(task, 3) && !states.finish_task(task, 3) && states.finish_task(task, 3),
        "the third of 3");
  }
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::each_split_has_its_own_memory<float>();
  heedful::each_split_has_its_own_memory<double>();
  heedful::the_last_task_is_reported();
  return heedful::summary();
}
