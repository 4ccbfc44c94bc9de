// Rows transposed into panels, and back:
//   row     [column]          one query, key, value or output
//   panel   [column][lane]    up to three vectors of queries side by side, one query per lane
#pragma once

#include <cstddef>

namespace heedful {

// panel[column][lane] = factor · rows[lane][column]; `lanes` is a multiple of the vector length. Of
// Stored, which is T, or simd::Bfloat16 for rows of a full vector at least, which it widens.
template <class T, class Stored>
void rows_to_panel(const Stored* const* rows, std::ptrdiff_t lanes, std::ptrdiff_t columns,
                   T factor, T* panel);

// rows[lane][column] = panel[column][lane] · factors[lane].
template <class T>
void panel_to_rows(const T* panel, std::ptrdiff_t lanes, std::ptrdiff_t columns, const T* factors,
                   T* const* rows);

// rows[lane][column] += panel[column][lane] · factors[lane].
template <class T>
void add_panel_to_rows(const T* panel, std::ptrdiff_t lanes, std::ptrdiff_t columns,
                       const T* factors, T* const* rows);

}  // namespace heedful
