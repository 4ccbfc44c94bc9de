// Rows of packed elements, two of 16 bits or four of 8 bits in a word, transposed into panels.
#pragma once

#include <cstddef>
#include <cstdint>

namespace heedful {

// panel[word][lane] = the words of rows[lane]; `lanes` is a multiple of the vector length.
void words_to_panel(const std::uint16_t* const* rows, std::ptrdiff_t lanes, std::ptrdiff_t words,
                    std::uint32_t* panel);

}  // namespace heedful
