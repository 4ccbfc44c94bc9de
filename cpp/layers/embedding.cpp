#include "layers/embedding.hpp"

#include <algorithm>

#include "layers/row_loop.hpp"

namespace heedful {

template <class T>
void embedding_gradient(std::ptrdiff_t rows, std::ptrdiff_t columns, Matrix<const T> dy,
                        const std::int64_t* ids, std::int64_t ignored, Matrix<T> dtable,
                        const Team& team) {
  constexpr std::ptrdiff_t task_columns = 256 / sizeof(T);  // some cache lines
  const std::ptrdiff_t tasks = (columns + task_columns - 1) / task_columns;
  const double numbers = static_cast<double>(rows) * static_cast<double>(columns);
  const Team size{numbers < 32768 ? 1 : team.threads, team.interrupted};
  parallel_for(tasks, size, 0, [&](std::ptrdiff_t task, Worker& worker) {
    const std::ptrdiff_t first = task * task_columns;
    const std::ptrdiff_t count = std::min(task_columns, columns - first);
    for (std::ptrdiff_t row = 0; row < rows; ++row) {
      if (row % 1024 == 0) worker.check();
      if (ids[row] == ignored) continue;
      const T* const from = dy.row(row) + first;
      T* const to = dtable.row(ids[row]) + first;
      each_number<T>(count, [&](auto at) { at.store(to, simd::add(at.load(to), at.load(from))); });
    }
  });
}

template void embedding_gradient(std::ptrdiff_t, std::ptrdiff_t, Matrix<const float>,
                                 const std::int64_t*, std::int64_t, Matrix<float>, const Team&);
template void embedding_gradient(std::ptrdiff_t, std::ptrdiff_t, Matrix<const double>,
                                 const std::int64_t*, std::int64_t, Matrix<double>, const Team&);

}  // namespace heedful
