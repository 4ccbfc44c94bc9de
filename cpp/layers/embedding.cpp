#include "layers/embedding.hpp"

#include <algorithm>
#include <array>

#include "arrays/row_loop.hpp"
#include "parallel/scratch.hpp"

namespace heedful {
namespace {

template <class T>
constexpr std::ptrdiff_t task_columns = 256 / sizeof(T);  // a few cache lines

// With more rows, one id may occur so often that the error of a plain sum in T becomes noticeable.
constexpr std::ptrdiff_t many_rows = 4096;
// Number of rows of an id that are summed one after another in T.
constexpr std::ptrdiff_t level_rows = 64;

// The rows of each id that occurs, in their order: those of ids[i] are rows[begins[i]] to
// rows[begins[i + 1] − 1].
struct RowsById {
  Buffer<std::ptrdiff_t> ids, begins, rows;
  std::ptrdiff_t count = 0;  // of ids

  RowsById(const std::int64_t* of_rows, std::ptrdiff_t num_rows, std::int64_t ignored)
      : ids(num_rows), begins(num_rows + 1), rows(num_rows) {
    std::int64_t max_id = -1;
    for (std::ptrdiff_t row = 0; row < num_rows; ++row) max_id = std::max(max_id, of_rows[row]);
    Buffer<std::ptrdiff_t> positions(
        max_id + 1, zeroed);  // first the count of rows, then the position of the next
    for (std::ptrdiff_t row = 0; row < num_rows; ++row) {
      const std::int64_t id = of_rows[row];
      if (id != ignored && positions[id]++ == 0) ids[count++] = id;
    }
    begins[0] = 0;
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      begins[i + 1] = begins[i] + positions[ids[i]];
      positions[ids[i]] = begins[i];
    }
    for (std::ptrdiff_t row = 0; row < num_rows; ++row) {
      if (of_rows[row] != ignored) rows[positions[of_rows[row]]++] = row;
    }
  }
};

// to[column] += the sum of the rows, in two levels, the second one in double.
template <class T>
void add_rows(const std::ptrdiff_t* rows, std::ptrdiff_t num_rows, Matrix<const T> dy,
              std::ptrdiff_t first, std::ptrdiff_t columns, T* to) {
  std::array<double, task_columns<T>> total{};
  for (std::ptrdiff_t begin = 0; begin < num_rows; begin += level_rows) {
    alignas(64) std::array<T, task_columns<T>> sums{};
    for (std::ptrdiff_t r = begin; r < std::min(begin + level_rows, num_rows); ++r) {
      const T* const from = dy.row(rows[r]) + first;
      for_each_element<T>(columns, [&](auto at) {
        at.store(sums.data(), simd::add(at.load(sums.data()), at.load(from)));
      });
    }
    for (std::ptrdiff_t c = 0; c < columns; ++c) {
      total[static_cast<std::size_t>(c)] += static_cast<double>(sums[static_cast<std::size_t>(c)]);
    }
  }
  for (std::ptrdiff_t c = 0; c < columns; ++c) {
    to[c] += static_cast<T>(total[static_cast<std::size_t>(c)]);
  }
}

}  // namespace

template <class T>
void embedding_gradient(std::ptrdiff_t rows, std::ptrdiff_t columns, Matrix<const T> dy,
                        const std::int64_t* ids, std::int64_t ignored, Matrix<T> dtable,
                        const Team& team) {
  const std::ptrdiff_t tasks = (columns + task_columns<T> - 1) / task_columns<T>;
  const Team size = threads_for(
      Cost::of_elements(static_cast<double>(rows) * static_cast<double>(columns)), team);
  if (rows > many_rows) {
    const RowsById by_id(ids, rows, ignored);
    return parallel_for(tasks, size, 0, [&](std::ptrdiff_t task, Worker& worker) {
      const std::ptrdiff_t first = task * task_columns<T>;
      const std::ptrdiff_t count = std::min(task_columns<T>, columns - first);
      for (std::ptrdiff_t i = 0; i < by_id.count; ++i) {
        if (i % 64 == 0) worker.check();
        add_rows(by_id.rows.data() + by_id.begins[i], by_id.begins[i + 1] - by_id.begins[i], dy,
                 first, count, dtable.row(by_id.ids[i]) + first);
      }
    });
  }
  parallel_for(tasks, size, 0, [&](std::ptrdiff_t task, Worker& worker) {
    const std::ptrdiff_t first = task * task_columns<T>;
    const std::ptrdiff_t count = std::min(task_columns<T>, columns - first);
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      if (row % 1024 == 0) worker.check();
      if (ids[row] == ignored) continue;
      const T* const from = dy.row(row) + first;
      T* const to = dtable.row(ids[row]) + first;
      for_each_element<T>(count,
                          [&](auto at) { at.store(to, simd::add(at.load(to), at.load(from))); });
    }
  });
}

template void embedding_gradient(std::ptrdiff_t, std::ptrdiff_t, Matrix<const float>,
                                 const std::int64_t*, std::int64_t, Matrix<float>, const Team&);
template void embedding_gradient(std::ptrdiff_t, std::ptrdiff_t, Matrix<const double>,
                                 const std::int64_t*, std::int64_t, Matrix<double>, const Team&);

}  // namespace heedful
