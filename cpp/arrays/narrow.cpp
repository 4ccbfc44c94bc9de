#include "arrays/narrow.hpp"

#include <algorithm>

#include "arrays/rows.hpp"

namespace heedful {

void narrow(const float* wide, char* narrow, ElementType type, std::ptrdiff_t count,
            const Team& team) {
  constexpr std::ptrdiff_t task_numbers = 32 << 10;
  const std::ptrdiff_t size = element_size(type);
  const auto run = [&](std::ptrdiff_t index, Worker&) {
    const std::ptrdiff_t begin = index * task_numbers;
    write_row(wide + begin, narrow + begin * size, type, size,
              std::min(task_numbers, count - begin));
  };
  parallel_for((count + task_numbers - 1) / task_numbers, team, 0, run);
}

}  // namespace heedful
