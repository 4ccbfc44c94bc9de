// The inputs of the next task of this thread, fetched while the one before is computed: short
// sequences would otherwise wait for memory at each task's beginning.
#pragma once

#include <algorithm>
#include <cstddef>

#include "attention/problem/row_task.hpp"
#include "simd/packet.hpp"

namespace heedful {

class FetchAhead {
 public:
  // Fetches nothing.
  FetchAhead() = default;

  // Only a guess which task comes next: another thread may take it.
  template <class T>
  FetchAhead(const ForwardCall<T>& call, const RowTask& task, const RowTask& next) {
    const Problem& problem = call.problem;
    const Item& item = problem.items[next.item];
    const Row first = row_of(problem, next, 0);
    const std::ptrdiff_t queries = std::min(next.rows, item.queries - first.query);
    queries_ = Rows(call.query, next.item, first.head, item.query_begin + first.query, queries,
                    problem.depth);
    if (next.item == task.item && next.kv_head == task.kv_head) return;
    const std::ptrdiff_t begin = item.key_begin + next.keys.begin;
    keys_ = Rows(call.key, next.item, next.kv_head, begin, next.keys.size(), problem.depth);
    values_ =
        Rows(call.value, next.item, next.kv_head, begin, next.keys.size(), problem.value_depth);
    // what is long is read in order, which the processor sees by itself, and would not stay near
    if (queries_.bytes() + keys_.bytes() + values_.bytes() > most_bytes) *this = FetchAhead();
  }

  void queries() const { queries_.fetch(); }
  void keys() const { keys_.fetch(); }
  void values() const { values_.fetch(); }

 private:
  static constexpr std::ptrdiff_t most_bytes = 64 << 10;
  static constexpr std::ptrdiff_t line = 64;

  struct Rows {
    const char* data = nullptr;
    std::ptrdiff_t stride = 0, count = 0, row_bytes = 0;

    Rows() = default;
    Rows(const TensorView& view, std::ptrdiff_t item, std::ptrdiff_t head, std::ptrdiff_t first,
         std::ptrdiff_t rows, std::ptrdiff_t columns)
        : data(view.row(item, head, first)), stride(view.row_stride), count(rows) {
      if (view.column_stride == element_size(view.type)) row_bytes = columns * view.column_stride;
    }
    std::ptrdiff_t bytes() const { return count * row_bytes; }
    void fetch() const {
      for (std::ptrdiff_t row = 0; row < count; ++row) {
        for (std::ptrdiff_t byte = 0; byte < row_bytes; byte += line) {
          simd::prefetch(data + row * stride + byte);
        }
      }
    }
  };

  Rows queries_, keys_, values_;
};

}  // namespace heedful
