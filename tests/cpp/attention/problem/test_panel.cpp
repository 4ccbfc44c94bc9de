// Query panels: the rows of their lanes, and the keys visible to any and to all of them.
#include <algorithm>

#include "attention/problem/panel.hpp"
#include "check.hpp"
#include "visibility.hpp"

namespace heedful {
namespace {

struct Setting {
  std::ptrdiff_t queries, keys, offset, left, right;
};

constexpr Setting settings[] = {
    {5, 30, 0, -1, -1}, {5, 30, 0, -1, 0},  {5, 3, -2, -1, 0}, {5, 30, 4, 2, 1}, {5, 30, 0, 0, 0},
    {5, 7, 5, 1, 0},    {5, 7, -50, -1, 0}, {1, 30, 0, 3, 3},  {5, 7, -2, 0, 0}, {5, 7, 4, 0, 0},
};

Problem problem_of(const Setting& setting) {
  Problem problem;
  problem.num_heads = 6;
  problem.num_kv_heads = 2;
  problem.left = setting.left;
  problem.right = setting.right;
  return problem;
}

template <class T>
void lanes_are_rows_of_the_group_the_query_running_fastest() {
  for (const Setting& setting : settings) {
    const Problem problem = problem_of(setting);
    const Item item{0, setting.queries, 0, setting.keys, setting.offset};
    const std::ptrdiff_t rows = problem.group() * setting.queries;
    for (std::ptrdiff_t first = 0; first < rows; ++first) {
      const int count =
          static_cast<int>(std::min<std::ptrdiff_t>(rows - first, Panel<T>::max_lanes));
      Panel<T> panel;
      fill_panel(panel, problem, item, 1, first, count);
      bool right = panel.count == count && panel.lanes() >= count &&
                   panel.lanes() < count + simd::lanes<T> &&
                   panel.lanes() == panel.vectors * simd::lanes<T>;
      for (int lane = 0; lane < panel.lanes(); ++lane) {
        const std::ptrdiff_t row =
            first + std::min(lane, count - 1);  // padding lanes repeat the last row
        right &= panel.head[lane] == 3 + row / setting.queries &&
                 panel.query[lane] == row % setting.queries;
        for (std::ptrdiff_t key = 0; key < setting.keys; ++key) {
          const KeyRange visible = panel.visible[lane];
          right &= (key >= visible.begin && key < visible.end) ==
                   in_window(problem, item, panel.query[lane], key);
        }
      }
      check(right, "lane l is row first + l of (head of the group, query)");
      check(panel.one_head == (first / setting.queries == (first + count - 1) / setting.queries),
            "one_head is true if all rows are of one head");
    }
  }
}

template <class T>
void any_and_all_are_what_the_lanes_see() {
  for (const Setting& setting : settings) {
    const Problem problem = problem_of(setting);
    const Item item{0, setting.queries, 0, setting.keys, setting.offset};
    const std::ptrdiff_t rows = problem.group() * setting.queries;
    for (std::ptrdiff_t first = 0; first < rows; ++first) {
      for (const std::ptrdiff_t max_count : {1, 3, Panel<T>::max_lanes}) {
        const int count = static_cast<int>(std::min(rows - first, max_count));
        Panel<T> panel;
        fill_panel(panel, problem, item, 0, first, count);
        std::ptrdiff_t begin = setting.keys, end = 0;
        bool all_right = true;
        for (std::ptrdiff_t key = 0; key < setting.keys; ++key) {
          int seeing = 0;
          for (int lane = 0; lane < count; ++lane) {
            seeing += in_window(problem, item, panel.query[lane], key);
          }
          if (seeing > 0) begin = std::min(begin, key), end = key + 1;
          all_right &= (key >= panel.all.begin && key < panel.all.end) == (seeing == count);
        }
        check(all_right, "`all` holds the keys visible to every lane");
        check(end == 0 ? panel.any.empty() : panel.any.begin == begin && panel.any.end == end,
              "`any` goes from the first to the last key visible to any lane");
      }
    }
  }
}

template <class T>
void everything() {
  lanes_are_rows_of_the_group_the_query_running_fastest<T>();
  any_and_all_are_what_the_lanes_see<T>();
}

}  // namespace
}  // namespace heedful

int main() {
  heedful::everything<float>();
  heedful::everything<double>();
  return heedful::summary();
}
