#include "arrays/narrow.hpp"

#include "arrays/element_ranges.hpp"
#include "arrays/rows.hpp"

namespace heedful {

void narrow(const float* wide, char* narrow, ElementType type, std::ptrdiff_t count,
            const Team& team) {
  const std::ptrdiff_t size = element_size(type);
  parallel_for_elements(count, team, [&](std::ptrdiff_t begin, std::ptrdiff_t length) {
    write_row(wide + begin, narrow + begin * size, type, size, length);
  });
}

}  // namespace heedful
